"""Bodies that do not fit: the mistake that was made is the one that is named, and none of them takes the server."""

import json
import time
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from camml.serving.bodies import MOST_KEYS, MOST_SIGNS, MOST_VALUES, read_json
from camml.serving.messages import MadeCall
from camml.serving.problems import ApiError
from camml.serving.response_items import Item
from camml.serving.wire import EmbeddingBody, NewSample, SearchBody, StreamOptions

PICTURE = "data:image/png;base64,AAAA"


def chat(content: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": content}], **more}


def search(**body: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/stores/colours/search", body


def embed(value: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/embeddings", {"model": "hashed", "input": value}


CASES = {
    "a picture as text": (chat([{"type": "image_url", "image_url": PICTURE}]), "messages.0.content.0.image_url",
                          "an object"),
    "an unknown part": (chat([{"type": "input_audio", "input_audio": {}}]), "messages.0.content.0",
                        "'input_audio'.*'text', 'image_url'"),
    "a part without a type": (chat([{"text": "hi"}]), "messages.0.content.0", "type"),
    "the second part": (chat([{"type": "text", "text": "a"}, {"type": "text", "text": 5}]),
                        "messages.0.content.1.text", "a string"),
    "a part that is text": (chat(["hi"]), "messages.0.content.0", "an object"),
    "a part without its text": (chat([{"type": "text"}]), "messages.0.content.0.text", "required"),
    "too many parts": (chat([{"type": "text", "text": "a"}] * 2049), "messages.0.content",
                       "at most 2048 items.* 2049"),
    "a number for content": (chat(5), "messages.0.content", "a string or a list"),
    "an object for content": (chat({"type": "text", "text": "a"}), "messages.0.content", "a string or a list"),
    "too many messages": (chat("a", messages=[{"role": "user", "content": "a"}] * 2049), "messages",
                          "at most 2048 items.* 2049"),
    "two prompts": (("/v1/completions", {"model": "tiny", "prompt": ["a", "b"]}), "prompt", "one prompt a request"),
    "too long": (chat("x" * 1_000_001), "messages.0.content", "at most 1000000 characters"),
    "an unknown role": (("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "function", "content": "a"}]}),
                        "messages.0.role", "'system', 'developer', 'user', 'assistant' or 'tool'"),
    "no messages": (("/v1/chat/completions", {"model": "tiny"}), "messages", "required"),
    "five stop words": (chat("hi", stop=list("abcde")), "stop", "at most 4 items.* 5"),
    "a number among stop words": (chat("hi", stop=["a", 5]), "stop.1", "a string"),
    "a stop number": (chat("hi", stop=5), "stop", "a string or a list"),
    "a list in a filter": (chat("hi", filter={"kind": ["a"]}), "filter.kind", "a string or true or false or a number"),
    "too many filters": (chat("hi", filter={str(n): n for n in range(40)}), "filter", "at most 32 items"),
    "a long filter": (chat("hi", filter={"a": "x" * 3000}), "filter.a", "at most 2000 characters"),
    "shots in words": (chat("hi", shots="three"), "shots", "a number"),
    "too many shots": (chat("hi", shots=100), "shots", "less than or equal to 64"),
    "an unknown field of a sample": (chat("hi", samples=[{"txt": "a"}]), "samples.0.txt", "not permitted"),
    "an unknown field of a search": (search(querry="red"), "querry", "not permitted"),
    "2100 texts": (embed(["x"] * 2100), "input", "at most 2048 items.* 2100"),
    "tokens": (embed([[1, 2, 3]]), "input", "check_embedding_ctx_length=False"),
    "tokens of one text": (embed([1, 2, 3]), "input", "check_embedding_ctx_length=False"),
    "a token below zero": (embed([1, -2]), "input.1", "greater than or equal to 0"),
    "a token among texts": (embed(["a", 5]), "input.1", "a string or an object or a list"),
    "a truth among tokens": (embed([1, True]), "input.1", "a number"),
    "nothing to embed": (embed([]), "input", "at least 1 item"),
    "null among texts": (embed(["a", None]), "input.1", "a string or an object or a list"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_mistake_that_was_made_is_named(address: str, name: str) -> None:
    (path, body), place, said = CASES[name]
    answer = httpx.post(address + path, json=body, timeout=60)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == place
    assert error["message"].startswith(f"{place}: ")
    with pytest.raises(ValueError, match=said):
        raise ValueError(error["message"])


@pytest.mark.parametrize(
    ("kind", "needed", "nulls"),
    [
        (SearchBody, {}, "query k"),
        (NewSample, {}, "text meta id"),
        (StreamOptions, {}, "include_usage include_obfuscation"),
        (MadeCall, {"id": "a", "function": {"name": "f", "arguments": "{}"}}, "type"),
        (Item, {"role": "user", "content": "a"}, "type"),
    ],
)
def test_null_is_as_good_as_no_value(kind: type[BaseModel], needed: dict[str, Any], nulls: str) -> None:
    assert kind.model_validate(needed | dict.fromkeys(nulls.split())) == kind.model_validate(needed)


@pytest.mark.parametrize("body", [{"model": "tiny", "input": None}, {"model": None, "input": "a"}])
def test_where_a_value_is_needed_null_is_none(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="input_type=NoneType") as refused:
        EmbeddingBody.model_validate(body)
    assert "Field required" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "body"),
    [embed("red"), search(query="red"), chat("red", max_tokens=1, samples=[{"text": "a", "kind": None}])],
)
def test_unknown_fields_that_are_null_ask_for_nothing(address: str, path: str, body: dict[str, Any]) -> None:
    answer = httpx.post(address + path, json=body | {"input_type": None, "truncate": None}, timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        ({"Content-Type": "text/plain"}, 400, "Content-Type: application/json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 400, "Content-Type: application/json"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415, "'gzip'"),
    ],
)
def test_what_is_sent_as_something_else_is_said(address: str, headers: dict[str, str], status: int, said: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    answer = httpx.post(f"{address}/v1/chat/completions", content=json.dumps(body), headers=headers, timeout=60)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


NUMBERS = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "seed", "n", "frequency_penalty", "top_k",
           "min_p", "presence_penalty", "repetition_penalty", "shots")  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        *((*chat("hi"), name) for name in (*NUMBERS, "top_logprobs")),
        *(("/v1/completions", {"model": "tiny", "prompt": "hi"}, name) for name in NUMBERS),
        ("/v1/responses", {"model": "tiny", "input": "hi"}, "max_output_tokens"),
        ("/v1/responses", {"model": "tiny", "input": "hi"}, "temperature"),
        (*search(query="red"), "k"),
        (*search(query="red"), "weights.image"),
        (*embed("red"), "dimensions"),
        ("/v1/page/box", {"text": "a", "height": 1}, "width"),
    ],
)
def test_true_and_false_are_no_numbers(address: str, path: str, body: dict[str, Any], place: str) -> None:
    name, _, inner = place.partition(".")
    for truth in (True, False):
        answer = httpx.post(address + path, json={**body, name: {inner: truth} if inner else truth}, timeout=60)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == f"{place}: Input should be a number"


BOMBS = {
    "filter values": chat("hi", filter={str(n): [n] for n in range(300_000)}),
    "unknown fields": search(**{str(n): n for n in range(300_000)}),
    "wrong messages": ("/v1/chat/completions", {"model": "tiny", "messages": [5] * 300_000}),
    "wrong parts": chat([{"type": "text", "text": 5}] * 30_000),
    "wrong samples": chat("hi", samples=[{"text": 5}] * 30_000),
    "wrong inputs": embed([None] * 300_000),
    "wrong stop words": chat("hi", stop=[1] * 300_000),
    "lists in lists": chat([[[]] * 1000] * 1000),
    "wide parts of a message": ("/v1/chat/completions", {"model": "tiny", "messages": [
        {"role": "user", "content": "a", **{str(n): n for n in range(200)}}] * 1000}),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_mistakes_is_refused_at_once(address: str, name: str) -> None:
    path, body = BOMBS[name]
    content = json.dumps(body).encode()
    with httpx.Client(base_url=address, timeout=60) as http:
        begun = time.process_time()  # the server is in this process
        answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert time.process_time() - begun < 6
    assert answer.status_code == 400
    assert len(answer.content) < 2000


def test_what_is_measured() -> None:
    assert read_json(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    for data, said in (
        (b"[" + b"1," * (MOST_SIGNS + 1) + b"1]", "more parts"),
        (json.dumps([0] * (MOST_VALUES + 1)).encode(), "more values"),
        (json.dumps([{str(n): 0 for n in range(MOST_KEYS + 1)}]).encode(), "has 257 keys"),
        (b'{"a": NaN}', "no NaN"),
        (b"[-Infinity]", "no -Infinity"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"model": "a", "b": 1, "model": "c"}', "'model' is there twice"),
        (b"1" * 5000, "is not JSON"),
    ):
        with pytest.raises(ApiError) as caught:
            read_json(data)
        assert said in caught.value.message
        assert caught.value.status_code == 400
