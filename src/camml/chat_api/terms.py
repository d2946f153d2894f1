"""The settings that an endpoint takes, learned from its refusals: newer models want other names, or none at all."""

import json
import re
import threading
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

NEWER = {"max_tokens": "max_completion_tokens"}
"""Settings that have a newer name."""
OPTIONAL = ("temperature", "top_p", "seed")
"""Settings without which an endpoint answers too, by its own."""
_OPTIONAL = frozenset(OPTIONAL)
ABOUT_THE_REQUEST = frozenset({400, 422})
"""HTTP statuses that mean: this request is not as it should be."""
ABOUT_SOMETHING_ELSE = frozenset({401, 402, 403, 404, 408, 409, 429})
_UNKNOWN = re.compile(
    r"unsupported|not (?:\w+ )?(?:supported|permitted|allowed|accepted|recogni[sz]ed|known)|(?:not|n't) support|unknown"
    r"|unrecogni[sz]ed|unexpected|extra|deprecated|removed|replaced|instead|max_completion_tokens",
    re.IGNORECASE,
)
"""Words of refusals that are about a setting itself, and not about its value."""
_VALUE = re.compile(
    r"too (?:large|high|big|long|small|low)|at (?:most|least)|maximum|minimum|exceed|(?:less|greater|more|fewer) than"
    r"|between|out of range|above|below|[<>]=?",
    re.IGNORECASE,
)
"""Words of refusals that are about the value of a setting."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Settings that are sent otherwise than asked for.

    Attributes:
      renamed: settings that go under their newer name.
      left_out: settings that are not sent.
      values: settings with a value that is not sent, as others are.
    """

    renamed: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    values: frozenset[tuple[str, Any]] = frozenset()

    def applied(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings as they are sent."""
        return {
            NEWER[name] if name in self.renamed else name: value
            for name, value in options.items()
            if name not in self.left_out and not (name in OPTIONAL and (name, value) in self.values)
        }

    def without(self, names: set[str]) -> "Terms":
        """Return these terms with the settings `names` under their newer name, or left out where they have none."""
        return replace(self, renamed=self.renamed | (names & NEWER.keys()), left_out=self.left_out | names & _OPTIONAL)

    def after(self, options: Mapping[str, Any], text: str, taken: Set[str]) -> "Terms":
        """Return the terms to try after a refusal; these where it names nothing that can be sent otherwise.

        Args:
          taken: settings that were answered with before, so that a refusal can only be about another value.
        """
        names = self.refused(options, text)
        of_value = names & _OPTIONAL if _is_about_value(text) else names & _OPTIONAL & taken
        values = self.values | {(name, options[name]) for name in of_value}
        return replace(self.without(names - of_value), values=values)

    def with_all_of(self, other: "Terms") -> "Terms":
        """Return what either knows."""
        return Terms(self.renamed | other.renamed, self.left_out | other.left_out, self.values | other.values)

    def among(self, options: Mapping[str, Any]) -> "Terms":
        """Return these terms as far as they are about settings that are asked for."""
        asked = {(name, options[name]) for name in _OPTIONAL & options.keys()}
        return Terms(self.renamed & options.keys(), self.left_out & options.keys(), self.values & asked)

    @property
    def missing(self) -> tuple[str, ...]:
        """Return what is not sent, in words: a setting, or one with its value."""
        values = {f"{name} {value}" for name, value in self.values if name not in self.left_out}
        return tuple(sorted(self.left_out | values))

    def refused(self, options: Mapping[str, Any], text: str) -> set[str]:
        """Return the settings sent so far that a refusal names and that can be sent otherwise.

        Under its newer name a setting that is too large would be too large as well, or no limit at all.
        """
        sent = [name for name in (*NEWER, *OPTIONAL) if name in self.applied(options)]
        if (named := _parameter(text)) in sent:
            names = {named}
        else:
            names = {name for name in sent if re.search(rf"(?<!\w){name}(?!\w)", text)}
        return names - NEWER.keys() if _is_about_value(text) else names

    def about_value(self, options: Mapping[str, Any], text: str) -> bool:
        """Return whether a refusal is about the value of a setting that has a newer name."""
        sent = self.applied(options)
        named = any(name in sent and re.search(rf"(?<!\w){name}(?!\w)", text) for name in NEWER)
        return named and _is_about_value(text)

    def guesses(self, options: Mapping[str, Any]) -> list["Terms"]:
        """Return the terms worth trying after a refusal that names no setting."""
        sent = self.applied(options)
        newer, optional = {name for name in NEWER if name in sent}, {name for name in OPTIONAL if name in sent}
        tries = [self.without(names) for names in (newer, optional, newer | optional) if names]
        return list(dict.fromkeys(tries))


def _is_about_value(text: str) -> bool:
    """Return whether a refusal says that a value is too large or too small, and not that its setting is not known."""
    return _VALUE.search(text) is not None and _UNKNOWN.search(text) is None


def _parameter(text: str) -> str:
    """Return the setting that an error document names as the one at fault; empty where it names none."""
    try:
        error = json.loads(text)["error"]
        return str(error["param"] or "")
    except (ValueError, KeyError, TypeError):
        return ""


class Learned:
    """The terms of one endpoint, for all threads that ask it.

    Attributes:
      terms: as they are known.
      worked: whether a request was answered, so that further refusals are about something else.
      taken: settings that a request which was answered had.
    """

    def __init__(self) -> None:
        self.terms = Terms()
        self.worked = False
        self.taken: frozenset[str] = frozenset()
        self._tried = False
        self._first = threading.Lock()
        self._keeping = threading.Lock()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let others wait until the first request came through, so that each refusal is met once; then none waits."""
        if not self._tried:
            with self._first:
                if not self._tried:
                    try:
                        yield
                    finally:
                        self._tried = True
                    return
        yield

    def keep(self, terms: Terms, options: Mapping[str, Any]) -> None:
        """Remember terms under which a request with these options was answered, beside what other threads learned."""
        with self._keeping:
            self.terms, self.worked = self.terms.with_all_of(terms), True
            self.taken |= terms.applied(options).keys() & _OPTIONAL
