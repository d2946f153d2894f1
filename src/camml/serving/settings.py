"""The settings of a server."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from camml.errors import OptionError
from camml.passages import check_passages
from camml.ranking import check_min_score, check_weights
from camml.sizes import size_in_words, size_of
from camml.weights import DEFAULT_MODEL

STORE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SHORTEST_KEY = 8
LEAST_MEMORY = 1_000_000
"""Bytes below which there is no room for the keys and values of any answer."""
ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s/?#@:\[\]*]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?/?")
HOST = re.compile(r"(?:https?://)?([\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?/?")
LABELS = re.compile(r"[^.]{1,63}(\.[^.]{1,63})*\.?")
USUAL_PORTS = (("http", "80"), ("https", "443"))
DISPUTED = frozenset("ßς\u200c\u200d")
"""Letters that browsers keep where Python's IDNA of 2003 puts others. Source: UTS 46, deviation characters."""
FORMER_DEFAULT = "smollm2-135m-instruct"
"""The default model of version 0.1: clients that were set up to name it are answered by today's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything there is to choose.

    Attributes:
      model: a model's folder or name.
      model_name: what clients call it; the last part of `model` if not given.
      engine, engine_options: a file in `camml/serving/engines`, and what it is loaded with.
      stores: datastores by the names clients use; the first is used where a request names none.
      passages: how much of long texts is read, see `camml.answering.budget_of`; None for what suits the model.
      store_images: by those names, where pictures are that are not where their datastore says.
      weights, rerank: how samples are put into order, where a request does not say; see `camml.assistant.Collection`.
      min_score, fallback, margin: see `camml.assistant.Collection`.
      encoder: search datastores with it, whatever the model wants; None for what they were built with.
      read_only: samples can be neither added nor removed.
      api_keys: a request needs one of these; without any, everybody who reaches the server may use it.
      key_names: what the owners of keys are called in the log.
      state: a folder that outlives the server, for the secret of the addresses of thumbnails.
      allow_urls: pictures may be given as http(s) addresses, which the server then fetches.
      cors_origins: web pages of these origins may use the server: `https://HOST`, `chrome-extension://ID`, `null` for
        pages from a disk, `*` for all.
      allowed_hosts: names the server answers to, besides addresses in figures; none for all. Protects a server without
        keys from web pages that give their own name this machine's address.
      public_url: how clients reach the server, where that differs from what they ask for (behind a proxy).
      max_new_tokens: the longest answer, where a request does not say.
      grounded: answers are held to words of their samples; None as the model has it.
      memory: for keys and values of answers, such as `4GB`; empty for what suits the engine.
      max_body: bytes of a request.
      max_pixels: of a picture, before it is decoded.
      max_side: pixels of the longer side that a larger picture is shrunk to.
      max_waiting: answers that may wait for a slot; further ones are refused.
      rate_limit: requests a minute of each key (without keys: each address), and ten times as many that only read;
        0 for no limit.
      log_content: write questions and answers to the log.
      examples: a file of samples whose texts are questions, which the page offers with their pictures.
    """

    model: str
    model_name: str = ""
    engine: str = "transformers"
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    stores: Mapping[str, str] = field(default_factory=dict)
    passages: str | None = None
    grounded: bool | None = None
    store_images: Mapping[str, str] = field(default_factory=dict)
    encoder: str | None = None
    weights: Mapping[str, float] | None = None
    rerank: str | None = None
    min_score: float | None = None
    fallback: str = "refuse"
    margin: float | None = None
    read_only: bool = False
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    key_names: Mapping[str, str] = field(default_factory=dict, repr=False)
    state: Path | None = None
    allow_urls: bool = False
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    public_url: str = ""
    max_new_tokens: int = 256
    memory: str = ""
    max_body: int = 20 * 2**20
    max_pixels: int = 25_000_000
    max_side: int = 2048
    max_waiting: int = 128
    rate_limit: int = 0
    log_content: bool = False
    examples: Path | None = None

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "max_body", "max_pixels", "max_side"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; give 1 or more")
        check_passages(self.passages or "auto")
        check_weights(self.weights)
        check_min_score(self.min_score)
        if self.memory and (size := size_of(self.memory, "--memory")) < LEAST_MEMORY:
            raise OptionError(f"--memory is {size_in_words(size)}; give {size_in_words(LEAST_MEMORY)} or more")
        for name in ("max_waiting", "rate_limit"):
            if getattr(self, name) < 0:
                raise OptionError(f"{name} is {getattr(self, name)}; give 0 or more")
        for name in self.stores:
            if not STORE_NAME.fullmatch(name):
                raise OptionError(
                    f"a datastore cannot be called {name!r} in addresses; use letters, digits, '.', '_' and '-' "
                    "and give it as NAME=DIR"
                )
        if not all(map(is_key, self.api_keys)):
            raise OptionError(f"an API key needs at least {SHORTEST_KEY} printable ASCII characters")
        _in_ascii(host_of(self.public_url), repr(self.public_url))
        if self.public_url and not place_of_pages(self.public_url):
            raise OptionError(
                f"{self.public_url!r} is not an address; it should begin with http:// or https:// and a host"
            )
        object.__setattr__(self, "allowed_hosts", tuple(map(name_of_host, self.allowed_hosts)))
        object.__setattr__(self, "cors_origins", tuple(map(origin_of, self.cors_origins)))

    @property
    def served_name(self) -> str:
        """The name that clients call the model by."""
        return self.model_name or Path(self.model).name or self.model

    def answers_to(self, name: str) -> bool:
        """Return whether clients may call the model so: its name, or with the default model that of the one before."""
        usual = self.model == DEFAULT_MODEL and not self.model_name
        return name == self.served_name or (usual and name == FORMER_DEFAULT)


def is_key(text: str) -> bool:
    """Return whether a text can be an API key: it can be sent, and is not guessed at once."""
    return len(text) >= SHORTEST_KEY and text.isascii() and text.isprintable()


def host_of(url: str) -> str:
    """Return the host in an http(s) address, "" where there is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.hostname or "" if parts.scheme in ("http", "https") else ""


def place_of_pages(url: str) -> str:
    """Return host:port of the origin of pages at an http(s) address; "" if it has none."""
    if not host_of(url):
        return ""
    parts = urlsplit(url)
    try:
        return origin_of(f"{parts.scheme}://{parts.netloc.rstrip(':')}").partition("://")[2]
    except OptionError:
        return ""


def name_of_host(text: str) -> str:
    """Return the name of a host as clients send it: small letters, without the port or scheme that it is given with.

    Raises:
      OptionError: the text is not the name of a host.
    """
    match = HOST.fullmatch(text.lower()) or re.fullmatch(r"([0-9a-f:]*:[0-9a-f:.]*)", text.lower())
    if match is None or (match[1].isascii() and not LABELS.fullmatch(match[1])):
        raise OptionError(
            f"--allowed-host {text!r} is not the name of a host; give one such as camml.example.org, without a path "
            "or a *"
        )
    name = _in_ascii(match[1], f"--allowed-host {text!r}")
    return f"[{name}]" if name[0] != "[" and ":" in name else name


def origin_of(text: str) -> str:
    """Return an origin as browsers write it: small ASCII letters, no slash at its end, no port that is the usual one.

    Raises:
      OptionError: the text is not the origin of a web page.
    """
    if text in ("*", "null"):
        return text
    match = ORIGIN.fullmatch(text.lower())
    if match is None:
        raise OptionError(
            f"{text!r} is not the origin of a web page; give SCHEME://HOST or SCHEME://HOST:PORT without a path, such "
            "as https://chat.example.org; 'null' for pages from a disk; '*' for all"
        )
    scheme, host, port = match.groups()
    host = _in_ascii(host, repr(text))
    return f"{scheme}://{host}" + (f":{port}" if port and (scheme, port) not in USUAL_PORTS else "")


def _in_ascii(host: str, given: str) -> str:
    """Return the name of a host as browsers send it: `xn--mller-kva.example` for `müller.example`.

    Args:
      given: where it stands, for the message.

    Raises:
      OptionError: it is no name, or one that programs write in ASCII in different ways.
    """
    if host.isascii():
        return host
    try:
        if DISPUTED.isdisjoint(host):
            return host.encode("idna").decode()
    except UnicodeError:
        pass
    raise OptionError(
        f"{given} has a host outside ASCII that cannot be written as browsers send it; give the form that begins with "
        "'xn--', which the console of a browser shows: new URL('http://HOST').host"
    )
