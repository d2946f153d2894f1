"""An OpenAI-compatible endpoint for pictures: one prompt, one picture."""

import base64
import binascii
import http.client
import io
import json
import os
import urllib.error
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from camml.chat_api import web
from camml.chat_api.endpoint import PUBLIC, address_of, check_address, check_key, json_request, shown, without_key
from camml.errors import CaMMLError, FetchError, OptionError
from camml.images import open_image, read_url

DEFAULT_MODEL = "dall-e-3"
LONGEST_PROMPT = 4000
"""Characters. Source: the reference of the images endpoint, `prompt` of dall-e-3."""
NAME = "the base URL of the images endpoint"


@dataclass(frozen=True, slots=True)
class DrawingApi:
    """A model that draws, behind an endpoint.

    Attributes:
      model: its name there.
      base_url: of the endpoint, up to and with `/v1`.
      key: sent as the bearer token; none is sent where it is empty.
      timeout: seconds that one picture may take.

    Raises:
      OptionError: `base_url` is not an address, or `key` cannot be sent.
    """

    model: str = DEFAULT_MODEL
    base_url: str = PUBLIC
    key: str = field(default="", repr=False)
    timeout: float = 180.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", check_address(self.base_url, NAME))
        object.__setattr__(self, "key", check_key(self.key, "`key`"))

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "DrawingApi":
        """Return the endpoint that the environment names.

        $CAMML_IMAGES_BASE_URL and $CAMML_IMAGES_API_KEY, or else $OPENAI_BASE_URL and $OPENAI_API_KEY; the model is
        $CAMML_IMAGES_MODEL. The key for one address is never sent to the other.

        Raises:
          OptionError: not an address, a key that cannot be sent, or the public endpoint without a key.
        """
        own = environment.get("CAMML_IMAGES_BASE_URL", "")
        url = check_address(own or environment.get("OPENAI_BASE_URL") or PUBLIC, NAME)
        names = ("CAMML_IMAGES_API_KEY",) if own else ("CAMML_IMAGES_API_KEY", "OPENAI_API_KEY")
        key = next(filter(None, (check_key(environment.get(name, ""), name) for name in names)), "")
        if url == PUBLIC and not key:
            raise OptionError(
                "pictures are drawn by an OpenAI-compatible images endpoint, and none is set: start the server with "
                f"OPENAI_API_KEY for {PUBLIC}, or with CAMML_IMAGES_BASE_URL (and CAMML_IMAGES_API_KEY) for another"
            )
        return cls(environment.get("CAMML_IMAGES_MODEL") or DEFAULT_MODEL, url, key)

    @property
    def place(self) -> str:
        """The base URL as messages show it, without its query."""
        return shown(self.base_url)

    def draw(self, prompt: str) -> bytes:
        """Return the picture of `prompt`, as a PNG file.

        Raises:
          OptionError: an empty prompt, or one that is too long.
          FetchError: the endpoint refuses, cannot be reached, or answers something else than a picture.
        """
        if not prompt.strip():
            raise OptionError("the prompt is empty; say what to draw")
        if len(prompt) > LONGEST_PROMPT:
            raise OptionError(f"the prompt has {len(prompt)} characters; shorten it to {LONGEST_PROMPT}")
        request: dict[str, Any] = {"model": self.model, "prompt": prompt, "n": 1}
        if self.model.startswith("dall-e"):  # younger models always answer with the picture itself
            request["response_format"] = "b64_json"
        return self._picture(self._answer(request))

    def _answer(self, request: Mapping[str, Any]) -> Any:
        try:
            posted = json_request(address_of(self.base_url, "images/generations"), request, self.key)
            with web.opened(posted, self.timeout) as answer:
                return json.loads(web.body(answer))
        except urllib.error.HTTPError as error:
            reason = _reason(error, self.key)
            raise FetchError(f"{self.place} refuses to draw: HTTP {error.code} {reason}".strip()) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            # the words of a ValueError may quote what was sent, and the browser reads this
            unread = "its answer is not JSON" if isinstance(error, ValueError) else ""
            reason = unread or getattr(error, "reason", None) or str(error) or type(error).__name__
            raise FetchError(f"{self.place} gave no picture ({reason}); check the address and try again") from None

    def _picture(self, document: Any) -> bytes:
        """Return what was drawn, decoded and written anew, so that nothing but pixels reaches a browser."""
        try:
            [drawn] = document["data"][:1]
            sent = drawn.get("b64_json")
            picture = open_image(base64.b64decode(sent) if sent else read_url(drawn["url"]))
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, CaMMLError) as error:
            reason = f" ({error})" if isinstance(error, CaMMLError) else ""
            raise FetchError(f"the answer of {self.place} holds no picture that can be read{reason}") from None
        file = io.BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()


def _reason(error: urllib.error.HTTPError, key: str) -> str:
    """Return what the endpoint says was wrong, in a line without the key."""
    if elsewhere := web.moved(error):
        return f"the endpoint {elsewhere}; give its own base URL"
    text = web.said(error, 4000)
    with suppress(ValueError, KeyError, TypeError):
        text = str(json.loads(text)["error"]["message"])
    return " ".join(without_key(text, key).split())[:300]
