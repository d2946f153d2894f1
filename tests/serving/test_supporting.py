"""The passage that an answer comes from, in each of the interfaces, whole and streamed."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from starlette.testclient import TestClient

from camml import encoders
from camml.datastore import Datastore
from camml.serving.application import create
from camml.serving.engines import Piece, Prepared, Request
from camml.types import Sample
from tests.serving.conftest import Serve
from tests.serving.page.conftest import Parrot, service_of

PASSAGE = "It needs the spare part 4711."
PUMP = Sample("pump-7", f"Pump 7 is red. {PASSAGE} It was bought in 1999.")
LAMP = Sample("lamp-2", "The lamp needs a bulb.")
ASKED = "Which spare part does pump 7 need?"


class Clerk(Parrot):
    """Knows one number, and says so unless it is asked of something else."""

    def say(self, request: Request) -> str:
        """See `Parrot`."""
        return "It is 4711" if "pump" in request.query.text else "The samples do not say."

    async def generate(self, prepared: Prepared) -> AsyncIterator[Piece]:
        """See `Parrot`; as many answers as are wanted."""
        for index in range(prepared.request.n):
            async for piece in super().generate(prepared):
                yield replace(piece, index=index)


@pytest.fixture
def service(tmp_path: Path) -> Any:
    Datastore.build(tmp_path / "store", [PUMP, LAMP], encoders.load("hashed"))
    return service_of(tmp_path / "store", Clerk())


@pytest.fixture
def client(service: Any) -> Iterator[TestClient]:
    with TestClient(create(service)) as client:
        yield client


def chat(question: str = ASKED, **more: Any) -> dict[str, Any]:
    return {"model": "parrot", "messages": [{"role": "user", "content": question}], "shots": 2, **more}


def documents(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def supporting(document: dict[str, Any]) -> dict[str, str | None]:
    return {sample["id"]: sample["supporting"] for sample in document["context"]}


MARKED = {"pump-7": PASSAGE, "lamp-2": None}
NOT_MARKED: dict[str, None] = {"pump-7": None, "lamp-2": None}


def test_a_chat_marks_it_in_context_and_annotations(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json=chat(n=2)).json()
    assert supporting(answer) == MARKED
    for choice in answer["choices"]:
        cited = [annotation["url_citation"] for annotation in choice["message"]["annotations"]]
        assert {citation["title"]: citation.get("supporting") for citation in cited} == MARKED


def test_a_stream_of_a_chat_marks_it_where_the_answer_ends(client: TestClient) -> None:
    chunks = documents(client.post("/v1/chat/completions", json=chat(stream=True, n=2)).text)
    assert supporting(chunks[0]) == NOT_MARKED
    ends = [chunk for chunk in chunks if chunk["choices"][0]["finish_reason"]]
    assert [supporting(chunk) for chunk in ends] == [MARKED, MARKED]
    assert sum("context" in chunk for chunk in chunks) == 3
    assert sum("annotations" in choice["delta"] for chunk in chunks for choice in chunk["choices"]) == 2


def test_the_official_client_adds_such_a_stream_up(service: Any, serve: Serve) -> None:
    with serve(service) as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        messages: Any = chat()["messages"]
        with client.chat.completions.stream(model="parrot", messages=messages, extra_body={"shots": 2}) as events:
            chunks = [event.chunk for event in events if event.type == "chunk"]
            whole = events.get_final_completion()
    assert whole.choices[0].message.content == "It is 4711"
    [end] = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert supporting({"context": end.context}) == MARKED  # type: ignore[attr-defined]


def test_responses_mark_it_whole_and_streamed(client: TestClient) -> None:
    body = {"model": "parrot", "input": ASKED, "shots": 2}
    answer = client.post("/v1/responses", json=body).json()
    assert supporting(answer) == MARKED
    assert {
        annotation["title"]: annotation.get("supporting")
        for annotation in answer["output"][0]["content"][0]["annotations"]
    } == MARKED
    events = documents(client.post("/v1/responses", json={**body, "stream": True}).text)
    assert supporting(events[0]["response"]) == NOT_MARKED
    assert supporting(events[-1]["response"]) == MARKED
    added = [event["annotation"] for event in events if event["type"] == "response.output_text.annotation.added"]
    assert {item["title"]: item.get("supporting") for item in added} == MARKED


def test_completions_mark_it_whole_and_streamed(client: TestClient) -> None:
    body = {"model": "parrot", "prompt": ASKED, "shots": 2}
    assert supporting(client.post("/v1/completions", json=body).json()) == MARKED
    chunks = documents(client.post("/v1/completions", json={**body, "stream": True}).text)
    assert supporting(chunks[0]) == NOT_MARKED
    assert supporting(chunks[-1]) == MARKED


def test_a_model_that_finds_no_answer_refuses_and_nothing_is_marked(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json=chat("Who owns it?")).json()
    assert (answer["refused"], answer["reason"]) == (True, "the model found no answer in the samples")
    assert supporting(answer) == NOT_MARKED
    chunks = documents(client.post("/v1/chat/completions", json=chat("Who owns it?", stream=True)).text)
    assert (chunks[0]["refused"], chunks[-1]["refused"]) == (False, True)
