"""`camml ask` of a running `camml serve`, so that nothing is loaded here: one at an address, or one of this user."""

import argparse
import http.client
import json
import math
import os
import sys
import time
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml import __version__, running
from camml.chat_api import web
from camml.chat_api.endpoint import check_key, json_request
from camml.cli._answering import say_weights_unused, weights_of
from camml.cli._output import conditions, print_json
from camml.errors import CaMMLError, FetchError, InputError, OptionError
from camml.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from camml.types import Neighbor

KEY = "CAMML_API_KEY"
CHAT = "/v1/chat/completions"
SIDE = 2048
"""Pixels of the longer side of a picture that is sent; a server makes larger ones as small itself."""
OF_SERVER = {
    "context": "--context", "encoder": "--encoder", "rerank": "--rerank", "prompt_style": "--prompt-style",
    "use": "--use", "device": "--device", "dtype": "--dtype", "min_score": "--min-score", "margin": "--margin",
    "passages": "--passages", "store_images": "--store-images", "grounded": "--grounded",
    "encoder_option": "--encoder-option", "attribute": "--attribute", "stream": "--stream", "batch": "--batch",
}  # fmt: skip
"""Options that a server has decided about, or that it does not have."""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """An answer as a server gave it; see `camml.assistant.Answer`, which takes long to import."""

    text: str
    evidence: "tuple[Neighbor, ...]"
    notes: tuple[str, ...]
    refused: bool
    reason: str
    prompt_tokens: int
    new_tokens: int
    prompt: str = ""


def run(args: argparse.Namespace) -> int:
    """Ask the server of `--server`, and print answer and evidence."""
    if args.question is None or not args.question.strip():
        raise InputError("the question is empty")
    for flag in [*_not_theirs(args), *["--fallback"] * (args.fallback != "refuse")]:
        raise OptionError(f"{flag} is not for --server, which answers with the settings that it was started with")
    say_weights_unused(args, args.question)
    started = time.perf_counter()
    url = args.server.rstrip("/").removesuffix("/v1")
    if not url.startswith(("http://", "https://")):
        raise OptionError(
            f"--server {args.server!r} should begin with http:// or https://, such as http://127.0.0.1:8000"
        )
    try:
        model = _model(args.model, _call(f"{url}/v1/models"))
        reply = _call(f"{url}{CHAT}", _body(args, model, args.store))
        _print(args, reply, {}, started)
    except (LookupError, TypeError, AttributeError) as error:
        raise FetchError(f"what answers at {url} is not a `camml serve` ({error!r}); check the address") from None
    print(f"camml: answered by {url} ({model})", file=sys.stderr)
    return 0


def _model(wanted: str, document: Mapping[str, Any]) -> str:
    """Return the name of the model that a server answers with.

    Raises:
      OptionError: another one is wanted.
    """
    model = str(document["data"][0]["id"])
    if wanted not in (DEFAULT_MODEL, model) and Path(wanted).name != model:
        raise OptionError(f"--model {wanted!r} is not for --server, which answers with {model!r}; leave it out")
    return model


def run_here(args: argparse.Namespace) -> bool:
    """Ask a running server of this user that would answer as this command does; return whether it did, and printed."""
    server = _fitting(args)
    if server is None:
        return False
    started = time.perf_counter()
    store = server.stores[os.path.realpath(args.store)] if args.store else None
    body = _body(args, server.name, store) | ({} if store else {"shots": 0})
    try:
        reply = running.ask(server, CHAT, body, check_key(os.environ.get(KEY, ""), KEY), _say)
        images = _images(args.store, [sample["id"] for sample in reply["context"] if sample["thumbnail_url"]])
    except (CaMMLError, KeyError, TypeError) as error:  # whatever is wrong is said, or put right, by answering here
        print(f"camml: the server at {server.address} did not answer ({error}); answering here", file=sys.stderr)
        return False
    _print(args, reply, images, started)
    note = f"answered by the running server at {server.address} (process {server.pid})"
    print(f"camml: {note}; --no-server answers here", file=sys.stderr)
    return True


def _say(text: str) -> None:
    print(f"camml: {text}; --no-server answers here", file=sys.stderr, flush=True)


def _not_theirs(args: argparse.Namespace) -> list[str]:
    """Return the options given that a server has decided about, or does not have."""
    values = {flag: getattr(args, name) for name, flag in OF_SERVER.items()}
    given = [flag for flag, value in values.items() if value is not None and value is not False and value != []]
    return [*given, *["--no-grounded"] * (args.grounded is False)]


def _fitting(args: argparse.Namespace) -> running.Running | None:
    """Return a running server of this user that has the model and the datastore, and whose answer would be the same."""
    if args.no_server or _not_theirs(args) or args.seed is not None or not (args.question or "").strip():
        return None
    place, model = os.path.realpath(args.store) if args.store else "", running.identity(args.model)
    for server in running.servers():
        same = (server.version, server.model) == (__version__, model)
        knows = not place or (place in server.stores and server.fallback == args.fallback)
        if same and knows and (os.environ.get(KEY) or not server.needs_key):
            return server
    return None


def _images(store: str | None, ids: Sequence[str]) -> dict[str, Path | None]:
    """Return where the pictures of samples are."""
    if not store or not ids:
        return {}
    from camml.datastore import Datastore

    datastore = Datastore.open(store)
    return {name: datastore[name].image for name in ids if name in datastore}


def _body(args: argparse.Namespace, model: str, store: str | None) -> dict[str, Any]:
    """Return the request, with the picture in it."""
    from camml.images.data_urls import data_url, opened
    from camml.layouts import local_path
    from camml.types import Range

    content: list[dict[str, Any]] = [{"type": "text", "text": args.question}]
    if args.image is not None:
        picture = data_url(opened(local_path(args.image), max_side=SIDE))
        content.append({"type": "image_url", "image_url": {"url": picture}})
    where = {
        key: dict(value.bounds) if isinstance(value, Range) else value for key, value in conditions(args.where).items()
    }
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": args.max_new_tokens,
        "temperature": args.temperature,
        "top_p": args.top_p,
    }
    more = {"store": store, "shots": args.shots, "mode": args.mode, "filter": where or None, "seed": args.seed}
    more["weights"] = weights_of(args)
    return body | {name: value for name, value in more.items() if value is not None}


def _print(
    args: argparse.Namespace, reply: Mapping[str, Any], images: Mapping[str, Path | None], started: float
) -> None:
    """Print what a server answered as what is answered here is printed."""
    from camml.cli import ask

    usage = reply.get("usage") or {}
    answer: Any = ServerAnswer(
        str(reply["choices"][0]["message"]["content"]),
        tuple(_neighbor(sample, images) for sample in reply.get("context") or []),
        tuple(reply.get("notes") or []),
        bool(reply.get("refused")),
        str(reply.get("reason") or ""),
        usage.get("prompt_tokens") or 0,
        usage.get("completion_tokens") or 0,
    )
    seconds = {"answer": time.perf_counter() - started}
    if args.json:
        print_json(ask.document(args.question, args.image, answer, seconds))
        return
    print(answer.text)
    ask.print_evidence(answer, seconds)


def _neighbor(sample: Mapping[str, Any], images: Mapping[str, Path | None]) -> "Neighbor":
    """Return a sample of the evidence; its picture is where it is on this disk, or else at the server."""
    from camml.types import Neighbor, Sample

    text, image = sample["text"], images.get(sample["id"]) or sample.get("thumbnail_url")
    spans = tuple(_span(text, passage) for passage in sample.get("passages") or [])
    supporting = _span(text, sample["supporting"]) if sample.get("supporting") else None
    score = math.nan if sample["score"] is None else sample["score"]
    known = Sample(sample["id"], text, image, sample.get("meta") or {})
    return Neighbor(known, score, spans, sample.get("found_by") or "", supporting)


def _span(text: str, passage: str) -> tuple[int, int]:
    start = max(0, text.find(passage))
    return start, start + len(passage)


def _call(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the answer of the server, which has a key in $CAMML_API_KEY if it needs one.

    Raises:
      OptionError: the key cannot be sent.
      FetchError: it cannot be reached, or refuses.
    """
    request = json_request(url, body, check_key(os.environ.get(KEY, ""), KEY))
    try:
        with web.opened(request, running.SECONDS) as answer:
            document: dict[str, Any] = json.loads(web.body(answer))
            return document
    except urllib.error.HTTPError as error:
        if elsewhere := web.moved(error):
            raise FetchError(f"the server at {url} {elsewhere}; give its own address") from None
        raise FetchError(f"the server at {url} refuses: {_reason(error)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise FetchError(f"no answer from {url} ({reason}); is `camml serve` running there?") from None


def _reason(error: urllib.error.HTTPError) -> str:
    """Return what the server says was wrong."""
    try:
        message = json.loads(web.said(error))["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = error.reason
    key = f"; put a key into ${KEY}" if error.code == 401 else ""
    return f"{message} (HTTP {error.code}){key}"
