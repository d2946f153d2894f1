"""An OpenAI-compatible endpoint for chat: one question, one answer, tried again where trying again may help."""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camml.errors import FetchError, OptionError

PUBLIC = "https://api.openai.com/v1"
PASSING = frozenset({408, 409, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, with the tokens of question and answer as the endpoint counts them; 0 where it does not say."""

    text: str
    prompt_tokens: int = 0
    new_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChatApi:
    """A model behind an endpoint.

    Attributes:
      model: its name there.
      base_url: of the endpoint, up to and with `/v1`.
      key: sent as the bearer token; none is sent where it is empty.
      tries: how often a request is sent at most.
      timeout: seconds that one answer may take.
      sleep: waits so many seconds; another one in tests.
    """

    model: str
    base_url: str = PUBLIC
    key: str = ""
    tries: int = 6
    timeout: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of_environment(cls, model: str, base_url: str | None = None) -> "ChatApi":
        """The endpoint at `base_url` or $OPENAI_BASE_URL, with the key in $OPENAI_API_KEY.

        Raises:
          OptionError: not an address, or the public endpoint without a key.
        """
        url = (base_url or os.environ.get("OPENAI_BASE_URL") or PUBLIC).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise OptionError(f"the base URL {url!r} should begin with http:// or https://")
        key = os.environ.get("OPENAI_API_KEY", "")
        if url == PUBLIC and not key:
            raise OptionError(f"{PUBLIC} needs a key in OPENAI_API_KEY; or give another base URL")
        return cls(model, url, key)

    def complete(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> str:
        """The text of the answer, see `reply`."""
        return self.reply(messages, **options).text

    def reply(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Reply:
        """The answer; `options` go into the request (`temperature`, `max_tokens`, ...).

        Raises:
          FetchError: the endpoint refuses, or gave no answer in all tries.
        """
        body = json.dumps({"model": self.model, "messages": list(messages), **options}).encode()
        for attempt in range(1, self.tries + 1):
            try:
                return _read(self._send(body))
            except urllib.error.HTTPError as error:
                reason, wait = f"HTTP {error.code} {_detail(error)}", _seconds(error.headers.get("Retry-After"))
                if error.code not in PASSING:
                    raise FetchError(f"{self.base_url} refuses model {self.model!r}: {reason}") from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason, wait = str(error) or type(error).__name__, None
            if attempt < self.tries:
                self.sleep(min(60.0, 2.0 ** (attempt - 1)) if wait is None else min(wait, 120.0))
        raise FetchError(f"{self.base_url} gave no answer in {self.tries} tries: {reason}")

    def _send(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(f"{self.base_url}/chat/completions", body, headers)
        with urllib.request.urlopen(request, timeout=self.timeout) as answer:
            return json.loads(answer.read())


def _read(document: Any) -> Reply:
    """The answer in what an endpoint sent."""
    try:
        text = document["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("the answer is not that of a chat endpoint") from None
    usage = document.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    return Reply(text if isinstance(text, str) else "", *(one if isinstance(one, int) else 0 for one in counts))


def _detail(error: urllib.error.HTTPError) -> str:
    """What the endpoint says was wrong, in a line."""
    try:
        return " ".join(error.read(2000).decode(errors="replace").split())[:200]
    except OSError:
        return ""


def _seconds(text: str | None) -> float | None:
    """A Retry-After header that holds seconds."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
