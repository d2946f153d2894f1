"""The values that pass between the packages of this project.

Letters of all tensor shapes in this project:

    B  rows of a batch (questions)        T  tokens in a row, placeholders included
    D  width of an embedding              P  width of the perceivers
    S  samples of a whole batch           L  tokens of one image or text, padding included
    M  learned queries of the perceiver   N  vectors or items, K  neighbors of one query
    V  size of the vocabulary             H, W  height and width of an image in pixels
"""

import math
import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image

from camml.passages import join
from camml.prompts import Turn


@dataclass(frozen=True, slots=True)
class Sample:
    """One piece of knowledge: a text, mostly with an image, under a stable id.

    Example:
      >>> Sample("pump-7", "The pump needs seal 4711.", Path("pump.jpg"), {"site": "Bern"}).meta["site"]
      'Bern'
    """

    id: str
    text: str
    image: Path | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


UNFIT_FOR_IDS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\]")
"""Characters that an id must not hold: slashes, line breaks and other control characters, unpaired surrogates.

Everything else may be in one: spaces of every width, and the signs that join letters, which many languages need.
"""


def mended_id(id: str, taken: Container[str], counts: dict[str, int] | None = None) -> str:
    """Return an id that a datastore can hold and that is not taken yet.

    Args:
      counts: the last number given to each id, kept here for the next call, so that n equal ids take n steps.

    Example:
      >>> mended_id("coco/1", {"coco_1"})
      'coco_1#2'
    """
    wanted = UNFIT_FOR_IDS.sub("_", id)
    count = 1 if counts is None else counts.get(wanted, 1)
    mended = wanted if count == 1 else f"{wanted}#{count}"
    while mended in taken:
        count += 1
        mended = f"{wanted}#{count}"
    if counts is not None:
        counts[wanted] = count
    return mended


_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<alone>\d\d?)|(?P<between>[-/])(?P<month>\d\d?)(?P=between)(?P<day>\d\d?)"
    r"(?:[T ](?P<hour>\d\d?)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?)?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<hours>[01]\d|2[0-3])(?::?(?P<minutes>[0-5]\d))?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
"""A date of ISO 8601, or as spreadsheets write it: with slashes, and without leading zeros."""


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number or a date, instead of a value that `meta` must hold: `Range(((">=", "2024-01-01"),))`.

    Dates are those of ISO 8601, or as spreadsheets write them (`2024/5/1`); a shorter one stands for its first moment,
    so that `2024` is the beginning of that year. Times with a zone are compared as UTC, those without one as they
    stand, which is as if they were UTC.

    Attributes:
      bounds: pairs of `<`, `<=`, `>` or `>=` and a number or a date.

    Example:
      >>> this_year = Range(((">=", "2024"), ("<", "2025")))
      >>> [made for made in ("2023-12-31", "2024-05", "unknown") if this_year.holds(made)]
      ['2024-05']
    """

    bounds: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " ".join(sign + bound for sign, bound in self.bounds)

    def holds(self, value: Any) -> bool:
        """Return whether a value lies within all bounds; one that is neither a number nor a date does not."""
        return all(_compares(value, sign, bound) for sign, bound in self.bounds)

    def tightest(self) -> "Range":
        """Return the same range with one bound of each sign.

        Raises:
          ValueError: a number and a date have the same sign, which cannot be compared.
        """
        tightest: dict[str, str] = {}
        for sign, bound in self.bounds:
            other = tightest.setdefault(sign, bound)
            if (_moment(bound) is None) != (_moment(other) is None) and not (_is_number(bound) and _is_number(other)):
                number, date = sorted((bound, other), key=lambda text: _moment(text) is not None)
                raise ValueError(f"{number} is a number and {date} a date")
            tightest[sign] = bound if _compares(bound, sign, other) else other
        return Range(tuple(tightest.items()))


def is_bound(text: str) -> bool:
    """Return whether a text is a number or a date, with which others can be compared."""
    return _is_number(text) or _moment(text) is not None


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text))


def _compares(value: Any, sign: str, bound: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    if isinstance(value, float) and value.is_integer():  # a year, in a column with gaps
        value = int(value)
    text = str(value).strip()
    mine: Any
    theirs: Any
    if _is_number(bound) and (not isinstance(value, str) or _is_number(text)):
        mine, theirs = float(value) if isinstance(value, str) else value, float(bound)
    else:
        mine, theirs = _moment(text), _moment(bound)
        if mine is None or theirs is None:
            return False
    compared = {"<": mine < theirs, "<=": mine <= theirs, ">": mine > theirs, ">=": mine >= theirs}
    return bool(compared[sign])


def _moment(text: str) -> tuple[datetime, str, str] | None:
    """Return a date to the minute, its seconds and their fraction, in UTC if it has a zone, in an order that is that of
    time; None where it is no date, or one that no calendar has."""
    date = _DATE.fullmatch(text)
    if date is None:
        return None
    hour, minute = int(date["hour"] or 0), int(date["minute"] or 0)
    if hour > 24 or minute > 59 or int(date["second"] or 0) > 60:  # 24:00 is midnight, 23:59:60 a leap second
        return None
    offset = timedelta(hours=int(date["hours"] or 0), minutes=int(date["minutes"] or 0))
    try:
        local = datetime(int(date["year"]), int(date["alone"] or date["month"] or 1), int(date["day"] or 1))
        local += timedelta(hours=hour, minutes=minute)
        moment = local + offset if date["sign"] == "-" else local - offset
    except (ValueError, OverflowError):
        return None
    return moment, date["second"] or "00", (date["fraction"] or "").rstrip("0")


Where = Mapping[str, Any] | Callable[[Sample], bool]
"""Which samples may be retrieved: values or a `Range` that their `meta` must hold, or a function that decides."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question to retrieve for and to answer.

    Attributes:
      id: names the query's own sample, if it has one, so that it is never retrieved.
      history: the earlier turns of a conversation, each with its answer; nothing is searched by them.

    Example:
      >>> Query("Which seal does it need?", image=Path("photo.jpg")).text
      'Which seal does it need?'
    """

    text: str = ""
    image: Path | Image.Image | None = None
    id: str | None = None
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A retrieved sample and its score: the cosine in [-1, 1], or the fused rank score in mode `fused`.

    Where a list joins several searches its order is by how far each stands out, so cosines need not fall.

    Attributes:
      spans: the passages of the sample's text that are read, by their characters; none where all of it is.
      found_by: the search that found it, such as `image-image`; empty where it was given.
      supporting: the passage of the sample's text that an answer was taken from, by its characters.
      likeness: of its picture to the question's, patch by patch, or of its text to the question's words, passage by
        passage, -1 to 1, where these were compared: what the first samples of a search are ordered by.

    Example:
      >>> sample = Sample("pump-7", "Built in Bern. It needs seal 4711.")
      >>> Neighbor(sample, 0.83, spans=((15, 34),)).text
      'It needs seal 4711.'
    """

    sample: Sample
    score: float
    spans: tuple[tuple[int, int], ...] = ()
    found_by: str = ""
    supporting: tuple[int, int] | None = None
    likeness: float | None = None

    @property
    def text(self) -> str:
        """The text that is read."""
        return join(self.sample.text, self.spans) if self.spans else self.sample.text

    @property
    def read(self) -> Sample:
        """The sample with the text that is read."""
        return replace(self.sample, text=self.text) if self.spans else self.sample


Context = tuple[Neighbor, ...]
"""The retrieved samples of one query, nearest first."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """An answer and what it was made from.

    Example:
      >>> Prediction("Seal 4711", notes=("the picture was not seen",)).notes
      ('the picture was not seen',)
    """

    text: str
    context: Context = ()
    prompt: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    notes: tuple[str, ...] = ()
    """What a person should know: a truncated sample, a context without images, ..."""
    unanswered: str = ""
    """Why there is no answer (an endpoint gave no usable text); empty where there is one. Such a text is empty."""


def finite(value: Any) -> Any:
    """Return a value of JSON without numbers that JSON does not have, which no browser reads."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


DEEPEST = 100
"""Objects and lists in one another at most: what every reader and writer of JSON takes, the server's included."""


def is_nested_too_deeply(value: Any) -> bool:
    """Return whether a value of JSON has more than `DEEPEST` objects and lists in one another."""
    level, depth = [value], 0
    while level := [inner for inner in level if isinstance(inner, Mapping | list | tuple)]:
        depth += 1
        if depth > DEEPEST:
            return True
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, Mapping) else outer)]
    return False
