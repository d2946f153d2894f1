"""`camml ask --server`: the question put to a running `camml serve`, so that nothing is loaded here."""

import argparse
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from camml.cli._output import print_json, shorten
from camml.errors import FetchError, InputError, OptionError

KEY = "CAMML_API_KEY"
SECONDS = 600.0
OF_SERVER = {
    "context": "--context", "encoder": "--encoder", "rerank": "--rerank", "prompt_style": "--prompt-style",
    "use": "--use", "device": "--device", "dtype": "--dtype", "min_score": "--min-score", "passages": "--passages",
    "store_images": "--store-images", "encoder_option": "--encoder-option",
    "attribute": "--attribute", "stream": "--stream", "batch": "--batch",
}  # fmt: skip
"""Options that a server has decided about, or that it does not have."""


def run(args: argparse.Namespace) -> int:
    """Ask, and print answer and evidence."""
    if args.question is None or not args.question.strip():
        raise InputError("the question is empty")
    for name, flag in OF_SERVER.items():
        if getattr(args, name):
            raise OptionError(f"{flag} is not for --server, which answers with the settings that it was started with")
    started = time.perf_counter()
    url = args.server.rstrip("/").removesuffix("/v1")
    if not url.startswith(("http://", "https://")):
        raise OptionError(
            f"--server {args.server!r} should begin with http:// or https://, such as http://127.0.0.1:8000"
        )
    [model, *_] = _call(f"{url}/v1/models")["data"]
    reply = _call(f"{url}/v1/chat/completions", _body(args, model["id"]))
    answer = str(reply["choices"][0]["message"]["content"])
    context, notes, seconds = reply.get("context") or [], reply.get("notes") or [], time.perf_counter() - started
    if args.json:
        facts = {"question": args.question, "image": args.image, "answer": answer, "context": context}
        usage = reply.get("usage") or {}
        tokens = {"prompt_tokens": usage.get("prompt_tokens"), "new_tokens": usage.get("completion_tokens")}
        facts["refused"] = bool(reply.get("refused"))
        print_json(facts | {"seconds": {"answer": round(seconds, 3)}} | tokens | {"notes": notes})
        return 0
    print(answer)
    print("\nevidence" if context else "\nno evidence: answered without samples")
    for sample in context:
        score = "  given" if sample["score"] is None else f"{sample['score']:7.4f}"
        print(f"{score}  {sample['id']}\n         {shorten(' '.join(sample['passages'] or [sample['text']]))}")
    for note in notes:
        print(f"note: {note}")
    print(f"answer {seconds:.1f} s from {url} ({model['id']})")
    return 0


def _body(args: argparse.Namespace, model: str) -> dict[str, Any]:
    """Return the request, with the picture in it."""
    from camml.cli._output import conditions, numbers
    from camml.images import open_image
    from camml.images.data_urls import data_url
    from camml.types import Range

    content: list[dict[str, Any]] = [{"type": "text", "text": args.question}]
    if args.image:
        content.append({"type": "image_url", "image_url": {"url": data_url(open_image(args.image))}})
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
    more = {"store": args.store, "shots": args.shots, "mode": args.mode, "filter": where or None, "seed": args.seed}
    more["weights"] = numbers(args.weights, "--weights")
    return body | {name: value for name, value in more.items() if value is not None}


def _call(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the answer of the server, which has a key in $CAMML_API_KEY if it needs one.

    Raises:
      FetchError: it cannot be reached, or refuses.
    """
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(KEY):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            document: dict[str, Any] = json.loads(answer.read())
            return document
    except urllib.error.HTTPError as error:
        raise FetchError(f"the server at {url} refuses: {_reason(error)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise FetchError(f"no answer from {url} ({reason}); is `camml serve` running there?") from None


def _reason(error: urllib.error.HTTPError) -> str:
    """Return what the server says was wrong."""
    try:
        said = json.loads(error.read(20_000))["error"]["message"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        said = error.reason
    key = f"; put a key into ${KEY}" if error.code == 401 else ""
    return f"{said} (HTTP {error.code}){key}"
