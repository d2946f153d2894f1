"""Several pictures in a message and in earlier turns, for models that look at them and for those that cannot."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from camml import answering
from camml.answering import Decoding
from camml.prompts import Turn
from camml.serving import engines
from camml.serving.engines import Engine
from camml.types import Query
from tests import tiny
from tests.serving.conftest import Serve, run_apart, service_of
from tests.serving.test_tools import Scripted


@pytest.fixture(scope="module", params=["vlm_folder", "camml_vlm_folder"])
def seeing(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A model that looks at several pictures: as it comes, and with perceivers added."""
    loaded = engines.load("transformers", request.getfixturevalue(request.param))
    yield loaded
    run_apart(loaded.close())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Parts of messages: three pictures of different sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    made = [tiny.image(folder, str(n), (200, 50 * n, 9), (28 * (n + 1), 28)) for n in range(3)]
    urls = ["data:image/png;base64," + base64.b64encode(file.read_bytes()).decode() for file in made]
    return [{"type": "image_url", "image_url": {"url": url}} for url in urls]


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def ask(client: OpenAI, messages: list[Any], **more: Any) -> Any:
    options = {"max_tokens": 3, "extra_body": {"shots": 0}} | more
    return client.chat.completions.create(model="tiny", messages=messages, **options)


def test_all_of_a_conversation_are_seen_where_they_stand(
    seeing: Engine, shared_store: Path, serve: Serve, pictures: list[Any]
) -> None:
    scripted = Scripted(seeing)
    scripted.says = "ok"
    service = service_of(scripted, shared_store)
    service.engine = scripted
    talk = [
        {"role": "user", "content": [pictures[0], words("alpha"), pictures[2]]},
        {"role": "assistant", "content": "omega"},
        {"role": "user", "content": [words("gamma"), pictures[1]]},
    ]
    with serve(service) as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        told = ask(client, talk)
        asked = scripted.asked
        searched = ask(client, talk, extra_body={"shots": 1})
        many = [{"role": "user", "content": [words("a"), *pictures * 11]}]
        with pytest.raises(BadRequestError, match="33 pictures; at most 32"):
            ask(client, many)
    assert told.notes == []
    small, large, middle = (int(grid[2]) for grid in asked.inputs["image_grid_thw"])
    assert small < middle < large
    marks = seeing._front.tokenizer.decode(asked.inputs["input_ids"][0])  # type: ignore[attr-defined]
    mark = "<|image_pad|>"
    assert mark in marks[: marks.index("alpha")]
    assert mark not in marks[marks.index("alpha") : marks.index("omega")]
    assert mark in marks[marks.index("omega") : marks.index("gamma")]
    assert len(searched.context) == 1


@pytest.mark.long
def test_a_model_of_parts_reads_them_as_it_does_in_python(
    camml_folder: Path, shared_store: Path, serve: Serve, tmp_path: Path, pictures: list[Any]
) -> None:
    loaded, python = engines.load("transformers", camml_folder), answering.load("perceiver", camml_folder)
    files = [tiny.image(tmp_path, str(n), (200, 50 * n, 9), (28 * (n + 1), 28)) for n in range(3)]
    with serve(service_of(loaded, shared_store)) as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        talk = [
            {"role": "user", "content": [pictures[0], words("alpha")]},
            {"role": "assistant", "content": "omega"},
            {"role": "user", "content": [pictures[1], words("gamma")]},
        ]
        told = ask(client, talk)
        more = ask(client, [*talk[:2], {"role": "user", "content": [*pictures[1:], words("gamma")]}])
        other = ask(client, [{"role": "user", "content": [pictures[2], words("alpha")]}, *talk[1:]], max_tokens=12)
        same = ask(client, talk, max_tokens=12)
    run_apart(loaded.close())
    assert told.notes == more.notes == []
    query = Query("gamma", files[1], history=(Turn("alpha", "omega", (files[0],)),))
    [expected] = python.answer([query], [()], Decoding(3))
    assert (told.choices[0].message.content, told.usage.prompt_tokens) == (expected.text, expected.prompt_tokens)
    assert python.prompt(query, ()).count("<image>") == 2
    assert more.usage.prompt_tokens - told.usage.prompt_tokens == python.processor.processor.image_tokens
    assert other.choices[0].message.content != same.choices[0].message.content, "the earlier picture is seen"


def test_the_model_itself_reads_them(seeing: Engine, shared_store: Path, serve: Serve, pictures: list[Any]) -> None:
    with serve(service_of(seeing, shared_store)) as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        alone = ask(client, [{"role": "user", "content": [words("a"), pictures[0]]}])
        both = ask(client, [{"role": "user", "content": [words("a"), pictures[0], pictures[1]]}])
    assert both.usage.prompt_tokens > alone.usage.prompt_tokens


def test_a_model_that_reads_texts_says_so(
    llm_folder: Path, shared_store: Path, serve: Serve, pictures: list[Any]
) -> None:
    loaded = engines.load("transformers", llm_folder)
    with serve(service_of(loaded, shared_store)) as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        with pytest.raises(BadRequestError, match="reads texts only"):
            ask(client, [{"role": "user", "content": [words("a"), *pictures[:2]]}])
        assert (
            "does not see the image" in ask(client, [{"role": "user", "content": [words("a"), pictures[0]]}]).notes[0]
        )
    run_apart(loaded.close())


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_pictures_come_from_the_user(address: str, pictures: list[Any], role: str) -> None:
    client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    with pytest.raises(BadRequestError, match=f"'{role}' holds a picture"):
        ask(client, [{"role": "user", "content": "a"}, {"role": role, "content": [pictures[0]]}])
