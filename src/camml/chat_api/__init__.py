"""An OpenAI-compatible endpoint for chat: one question, one answer, tried again where trying again may help."""

import http.client
import json
import os
import socket
import time
import urllib.error
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from camml.chat_api import web
from camml.chat_api.endpoint import (
    PUBLIC,
    address_of,
    check_address,
    check_key,
    cut_at,
    json_request,
    shown,
    without_key,
)
from camml.chat_api.reply import TOO_LONG, Reply, fault_in, read
from camml.chat_api.terms import ABOUT_SOMETHING_ELSE, ABOUT_THE_REQUEST, Learned, Terms
from camml.errors import FetchError, OptionError

__all__ = ["ChatApi", "Reply"]

FILTERS = ("content_filter", "content_policy_violation")
"""Codes of refusals that are about what was asked, not how."""
LONG = (f'"{TOO_LONG}"', '"exceed_context_size_error"', "maximum context length")
"""Words of refusals of too long a question. Source: OpenAI, llama.cpp, vLLM."""
PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, *range(520, 530)})
"""HTTP statuses after which the same request may succeed. Source of 520 to 529: Cloudflare's, and Anthropic's 529."""
SPENT = '"insufficient_quota"'
"""The code, in JSON, of a 429 that no waiting helps."""


@dataclass(frozen=True, slots=True)
class ChatApi:
    """A model behind an endpoint.

    Attributes:
      model: its name there.
      base_url: of the endpoint, up to and with `/v1`.
      key: sent as the bearer token; none is sent where it is empty.
      tries: how often a request is sent at most.
      timeout: seconds without a byte of an answer after which it is given up.
      longest: seconds that one answer may take, however busily it is sent.
      sleep: waits so many seconds; another one in tests.

    Raises:
      OptionError: `base_url` is not an address, or `key` cannot be sent.
    """

    model: str
    base_url: str = PUBLIC
    key: str = field(default="", repr=False)
    tries: int = 6
    timeout: float = 120.0
    longest: float = 1800.0
    sleep: Callable[[float], None] = time.sleep
    _learned: Learned = field(default_factory=Learned, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", check_address(self.base_url, "the base URL"))
        object.__setattr__(self, "key", check_key(self.key, "`key`"))

    @classmethod
    def of_environment(cls, model: str, base_url: str | None = None) -> "ChatApi":
        """Return the endpoint at `base_url` or $OPENAI_BASE_URL, with the key in $OPENAI_API_KEY.

        Raises:
          OptionError: not an address, a key that cannot be sent, or the public endpoint without a key.
        """
        url = check_address(base_url or os.environ.get("OPENAI_BASE_URL") or PUBLIC, "the base URL")
        key = check_key(os.environ.get("OPENAI_API_KEY", ""), "OPENAI_API_KEY")
        if url == PUBLIC and not key:
            raise OptionError(f"{PUBLIC} needs a key in OPENAI_API_KEY; or give another base URL")
        return cls(model, url, key)

    def complete(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> str:
        """Return the text of the answer, see `reply`."""
        return self.reply(messages, **options).text

    @property
    def place(self) -> str:
        """The base URL as messages show it, without its query."""
        return shown(self.base_url)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The settings that the endpoint refuses, or a setting with its value, as far as it was asked."""
        return self._learned.terms.missing

    def reply(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Reply:
        """Return the answer; `options` go into the request (`temperature`, `max_tokens`, ...).

        A setting that the endpoint refuses is sent under its newer name, or left out, from then on; where only a value
        is refused, that value is.

        Raises:
          FetchError: the endpoint refuses, or gave no answer in all tries.
        """
        for attempt in range(1, self.tries + 1):
            try:
                with self._learned.first_alone():
                    return self._agreed(messages, options)
            except _Refused as refusal:
                reason, wait = str(refusal), refusal.wait
                if refusal.code not in PASSING or SPENT in refusal.text:
                    raise FetchError(f"{self.place} refuses model {self.model!r}: {reason}") from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason, wait = str(error) or type(error).__name__, None
            if attempt < self.tries:
                self.sleep(min(60.0, 2.0 ** (attempt - 1)) if wait is None else min(wait, 120.0))
        reason = without_key(reason, self.key)
        raise FetchError(f"{self.place} gave no answer in {self.tries} tries: {reason}")

    def _agreed(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Reply:
        """Return the reply under the terms that the endpoint takes; where they are not known, they are found out."""
        terms, first = self._learned.terms, None
        guesses: list[Terms] | None = None if self._learned.worked else terms.guesses(options)
        while True:
            try:
                document = self._send({"model": self.model, "messages": list(messages), **terms.applied(options)})
                reply = read(document)
            except _Refused as refusal:
                if refusal.withheld:
                    return Reply("", finish_reason=refusal.withheld)
                other = terms.after(options, refusal.text, self._learned.taken)
                if other != terms and refusal.code not in ABOUT_SOMETHING_ELSE:
                    terms = other
                elif guesses and refusal.code in ABOUT_THE_REQUEST and not terms.about_value(options, refusal.text):
                    first, terms = first or refusal, guesses.pop(0)
                else:
                    raise (first or refusal) from None
                continue
            self._learned.keep(terms, options)
            return replace(reply, left_out=terms.among(options).missing)

    def _send(self, content: Mapping[str, Any]) -> Any:
        request = json_request(address_of(self.base_url, "chat/completions"), content, self.key)
        try:
            end = time.monotonic() + self.longest
            with web.opened(request, self.timeout) as answer, _cut_at(end, answer):
                kind, sent = answer.headers.get_content_type(), web.body(answer)
        except urllib.error.HTTPError as error:
            text = without_key(_said(error), self.key)
            raise _Refused(error.code, text, web.seconds(error.headers.get("Retry-After"))) from None
        except (OSError, http.client.HTTPException):
            if time.monotonic() < end:
                raise
            sent = b""
        if time.monotonic() >= end:  # a connection that was cut may look like one that ended
            raise TimeoutError(f"no whole answer in {self.longest:g} s")
        document = self._document(sent, kind)
        if (fault := fault_in(document)) is not None:  # some gateways send a refusal as if all were well
            text = without_key(json.dumps({"error": fault}, ensure_ascii=False), self.key)
            raise self._refusal(fault, text)
        return document

    def _refusal(self, fault: Mapping[str, Any], text: str) -> "_Refused":
        """Return the refusal that an error in place of an answer stands for.

        One without a number passes, it may be hoped, but for one in words alone where nothing was answered before.
        """
        code = str(fault.get("code"))
        if code.isascii() and code.isdecimal():
            return _Refused(int(code), text, None)
        lasting = fault.keys() == {"message"} and not self._learned.worked
        return _Refused(400 if lasting else 500, text, None, said="HTTP 200 with")

    def _document(self, sent: bytes, kind: str) -> Any:
        """Return the JSON of an answer.

        Raises:
          FetchError: it is a web page, as the first answer; further ones come from what stands before the endpoint.
          ValueError: it is no JSON.
        """
        try:
            return json.loads(sent)
        except ValueError:
            wrong = f"is not JSON ({kind}); does the base URL end with /v1?"
            if kind == "text/html" and not self._learned.worked:
                raise FetchError(f"the answer of {self.place} {wrong}") from None
            raise ValueError(f"the answer {wrong}") from None


class _Refused(Exception):
    """An HTTP status that is no success, what the endpoint says with it, and how long it asks to wait.

    `said`: how messages call the status where the answer had another one.
    """

    def __init__(self, code: int, text: str, wait: float | None, said: str = "") -> None:
        super().__init__(f"{said or f'HTTP {code}'} {text[:200]}")
        self.code, self.text, self.wait = code, text, wait

    @property
    def withheld(self) -> str:
        """Return the reason where the endpoint will not answer this question, as others; empty otherwise."""
        if self.code in (400, 413) and any(mark in self.text for mark in LONG):
            return TOO_LONG
        return next((reason for reason in FILTERS if self.code == 400 and f'"{reason}"' in self.text), "")


def _cut_at(end: float, answer: http.client.HTTPResponse) -> AbstractContextManager[None]:
    """Cut the connection of an answer at a time; one without a body is whole already."""
    return nullcontext() if answer.isclosed() else cut_at(end, socket.socket(fileno=os.dup(answer.fileno())))


def _said(error: urllib.error.HTTPError) -> str:
    """Return what the endpoint says was wrong, in a line."""
    if elsewhere := web.moved(error):
        return f"the endpoint {elsewhere}; give its own base URL"
    return " ".join(web.said(error).split())
