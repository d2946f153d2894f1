"""Clients that begin a stream and go at any moment, beside others that stay; and what a server holds after them."""

import asyncio
import gc
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx

from camml.serving.engines import Prepared
from camml.serving.engines._jobs import Job, Reading, Stream
from camml.serving.replies import Reply
from camml.serving.scratch import PREFIX

Asked = tuple[str, dict[str, Any]]
"""A path and a body."""

SCHEMA = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
FORM = {"type": "json_schema", "json_schema": {"name": "sure", "schema": SCHEMA}}
MOMENTS = ("in the request", "at once", "soon", "in the answer", "at its end")
OF_ONE_RUN = re.compile(rb'"(id|created|created_at|item_id|call_id)": ?("[^"]*_?[0-9a-f]{8,}[^"]*"|\d+)')
"""What two answers to the same question never share."""
ROUNDED = ("logprob", "top_logprobs", "token_logprobs")
"""Numbers whose last digits follow from how many answers a step has."""


def questions(picture: str, function: dict[str, Any] | None = None) -> list[Asked]:
    """Streams of all kinds that the interfaces know; with tools where the model calls some.

    Args:
      picture: a data URL.
    """
    seen = {"type": "image_url", "image_url": {"url": picture}}
    shown = [{"type": "text", "text": "which colour is it"}, seen]
    asked: list[Asked] = [
        ("chat/completions", {"messages": said("what is red"), "max_tokens": 40}),
        ("chat/completions", {"messages": said("a capital"), "n": 3, "temperature": 1.2, "seed": 5, "max_tokens": 20}),
        ("chat/completions", {"messages": said("is it red"), "response_format": FORM, "max_tokens": 40}),
        ("chat/completions", {"messages": said("is it"), "logprobs": True, "top_logprobs": 2, "max_tokens": 12}),
        ("completions", {"prompt": "what is blue", "max_tokens": 30, "logprobs": 1}),
        ("responses", {"input": "what is white", "max_output_tokens": 30}),
    ]
    if function is None:
        given = [{"text": "a red square", "image_url": picture}, {"text": "France"}]
        part = [{"type": "input_text", "text": "what is it"}, {"type": "input_image", "image_url": picture}]
        asked += [
            ("chat/completions", {"messages": said(shown), "max_tokens": 20}),
            ("chat/completions", {"messages": said("which"), "samples": given, "max_tokens": 20}),
            ("responses", {"input": [{"role": "user", "content": part}], "max_output_tokens": 20}),
        ]
    else:
        tools, flat = [{"type": "function", "function": function}], [{"type": "function", **function}]
        asked += [
            ("chat/completions", {"messages": said("call it"), "tools": tools, "max_tokens": 40}),
            (
                "chat/completions",
                {"messages": said("now"), "tools": tools, "tool_choice": "required", "max_tokens": 60},
            ),
            ("responses", {"input": "call it", "tools": flat, "tool_choice": "required", "max_output_tokens": 60}),
        ]
    return [(f"/v1/{path}", {"model": "tiny", "stream": True, **body}) for path, body in asked]


def said(content: Any) -> list[dict[str, Any]]:
    """A conversation of one question."""
    return [{"role": "user", "content": content}]


async def stay(address: str, asked: Asked) -> list[Any]:
    """The events of a stream that is read to its end, without what no two answers share."""
    path, body = asked
    async with httpx.AsyncClient(base_url=address, timeout=300) as http:
        answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    lines = [line[6:] for line in answer.content.splitlines() if line.startswith(b"data: ")]
    events = [same_in_all(json.loads(OF_ONE_RUN.sub(rb'"\1": 0', line))) for line in lines if line != b"[DONE]"]
    return sorted(events, key=place_of)


def place_of(event: dict[str, Any]) -> int:
    """Which of several answers an event is about: those come side by side, in no order that is promised."""
    choices = event.get("choices", ())
    return choices[0]["index"] if len(choices) == 1 else -1


def same_in_all(value: Any) -> Any:
    """A document without numbers that are rounded by the size of a batch."""
    if isinstance(value, dict):
        return {key: same_in_all(inner) for key, inner in value.items() if key not in ROUNDED}
    return [same_in_all(inner) for inner in value] if isinstance(value, list) else value


async def leave(address: str, asked: Asked, chance: Random) -> None:
    """Begin a stream and go: while the request is sent, before the answer, in it, or as it ends."""
    path, body = asked
    data = json.dumps(body).encode()
    lines = (f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json", f"Content-Length: {len(data)}")
    head = "\r\n".join((*lines, "", ""))
    moment = chance.choice(MOMENTS)
    sent = chance.randrange(len(head), len(head) + len(data)) if moment == "in the request" else None
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]), limit=2**24)
    with suppress(OSError):
        writer.write((head.encode() + data)[:sent])
        await writer.drain()
        if moment == "soon":
            await asyncio.sleep(chance.uniform(0, 0.3))
        elif moment in ("in the answer", "at its end"):
            for _ in range(chance.randrange(1, 60) if moment == "in the answer" else 10**6):
                if (line := await reader.readline()) in (b"", b"0\r\n") or b"[DONE]" in line:
                    break
        if chance.random() < 0.5:
            writer.transport.abort()  # the connection is reset, not closed
        else:
            writer.close()


async def mixed(address: str, asked: Sequence[Asked], leaving: int, seed: int) -> list[list[Any]]:
    """The answers to those who ask and stay, while `leaving` others come and go."""
    chance = Random(seed)
    going = [leave(address, chance.choice(asked), Random(seed + number)) for number in range(leaving)]
    answers = await asyncio.gather(*going[::2], *(stay(address, question) for question in asked), *going[1::2])
    return [answer for answer in answers if answer is not None]


def held() -> dict[str, int]:
    """What this process holds: open files, folders of requests, threads, tasks, and answers under way."""
    gc.collect()
    kinds = (Job, Reading, Stream, Reply, Prepared)
    # by their types: to ask an object for its class can wake a module that loads late
    objects = [thing for thing in gc.get_objects() if issubclass(type(thing), (*kinds, asyncio.Task))]
    return {
        "files": len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0,
        "folders": len(list(Path(tempfile.gettempdir()).glob(f"{PREFIX}-{os.getpid()}-*"))),
        "threads": sum(not thread.name.startswith("camml-") for thread in threading.enumerate()),
        "tasks": sum(isinstance(thing, asyncio.Task) and not thing.done() for thing in objects),
        "answers": sum(isinstance(thing, kinds) for thing in objects),
    }


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> bool:
    """Whether it came to hold."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
