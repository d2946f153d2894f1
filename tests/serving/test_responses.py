"""OpenAI's newer interface, asked by the official client."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from camml.serving.replies import Reply
from tests import tiny
from tests.serving.conftest import Scripted


@pytest.fixture
def client(address: str) -> OpenAI:
    return OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def test_a_question_is_answered_with_its_evidence(client: OpenAI) -> None:
    answer: Any = client.responses.create(model="tiny", input="what is red", max_output_tokens=8)
    chat = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "what is red"}], max_tokens=8
    )
    assert answer.output_text == chat.choices[0].message.content
    assert answer.status == ("incomplete" if chat.choices[0].finish_reason == "length" else "completed")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (
        chat.usage.prompt_tokens, chat.usage.completion_tokens,  # type: ignore[union-attr]
    )  # fmt: skip
    cited = answer.output[0].content[0].annotations
    assert [citation.title for citation in cited] == [sample["id"] for sample in answer.context] != []
    assert all(citation.url.startswith("http://127.0.0.1") for citation in cited)


def test_a_conversation_with_instructions_and_a_picture(client: OpenAI, tmp_path: Path) -> None:
    picture = tiny.samples(tmp_path)[0].image
    assert picture
    url = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    said: Any = [
        {"role": "user", "content": "hello"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "what is it"}, {"type": "input_image", "image_url": url}],
        },
    ]
    answer = client.responses.create(model="tiny", input=said, instructions="be brief", max_output_tokens=8)
    chat: Any = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "yes"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": url}}],
        },
    ]
    expected = client.chat.completions.create(model="tiny", messages=chat, max_tokens=8)
    assert answer.output_text == expected.choices[0].message.content


def test_streamed_it_is_the_same(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "input": "what is red", "max_output_tokens": 12}
    whole = client.responses.create(**asked)
    events = list(client.responses.create(stream=True, **asked))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]  # fmt: skip
    assert kinds[-1] == f"response.{whole.status}"
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    last: Any = events[-1]
    assert last.response.output_text == whole.output_text
    assert last.response.usage == whole.usage


def test_the_evidence_is_not_computed_for_every_piece_of_a_stream(
    calling_address: str, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    shown = Reply.shown
    monkeypatch.setattr(Reply, "shown", lambda *given: calls.append(given) or shown(*given))
    client = OpenAI(base_url=f"{calling_address}/v1", api_key="none", max_retries=0)
    scripted.says = "It is red. " * 10
    asked: dict[str, Any] = {"model": "tiny", "input": "what is red", "extra_body": {"shots": 1}}
    events = list(client.responses.create(stream=True, **asked))
    assert sum(event.type == "response.output_text.delta" for event in events) > 50
    assert 0 < len(calls) < 10


def test_an_answer_in_json(client: OpenAI) -> None:
    pytest.importorskip("llguidance")
    schema = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"],
              "additionalProperties": False}  # fmt: skip
    form: Any = {"format": {"type": "json_schema", "name": "sure", "schema": schema}}
    answer = client.responses.create(model="tiny", input="is it red", text=form, max_output_tokens=40)
    assert isinstance(json.loads(answer.output_text)["sure"], bool)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"), ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"), ({"temperature": 9}, "temperature"),
        ({"input": [{"type": ["a"]}]}, "input.0"), ({"input": [7]}, "input.0"), ({"input": ""}, "input"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"), ({"input": [{"type": "reasoning"}]}, "input"),
        ({"include": ["file_search_call.results"]}, "include"), ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input"),
    ],
)  # fmt: skip
def test_what_it_does_not_have_is_refused(client: OpenAI, more: dict[str, Any], param: str) -> None:
    asked: dict[str, Any] = {"model": "tiny", "input": "a", **more}
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(**asked)
    assert refused.value.param == param


def test_what_its_own_answers_and_other_servers_hold_is_taken_back(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "max_output_tokens": 6}
    plain: Any = client.responses.create(**asked, input="what is red")
    thought: Any = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    refusal: Any = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    again: Any = client.responses.create(
        **asked, input=[thought, {"role": "user", "content": "what is red"}], metadata={"job": "7"},
        include=["reasoning.encrypted_content"], reasoning=plain.reasoning.model_dump(),
    )  # fmt: skip
    assert (again.output_text, again.metadata, plain.metadata) == (plain.output_text, {"job": "7"}, {})
    assert again.output[0].content[0].logprobs == []
    talk: Any = [{"role": "user", "content": "a"}, refusal, {"role": "user", "content": "what is red"}]
    assert client.responses.create(**asked, input=talk).status


@pytest.mark.parametrize("kind", ["input_text", "output_text", "refusal"])
def test_a_text_without_words_is_refused(client: OpenAI, kind: str) -> None:
    said: Any = [{"role": "user", "content": [{"type": kind}, {"type": "input_text", "text": "a"}]}]
    with pytest.raises(BadRequestError, match=f"a part of type '{kind}' needs the field") as refused:
        client.responses.create(model="tiny", input=said)
    assert refused.value.param == "input"


@pytest.mark.parametrize(
    ("name", "value", "here"),
    [
        ("messages", [{"role": "user", "content": "b"}], "input"), ("max_tokens", 1, "max_output_tokens"),
        ("max_completion_tokens", 1, "max_output_tokens"), ("response_format", {"type": "json_object"}, "text.format"),
        ("logprobs", True, "include"), ("n", 2, None),
    ],
)  # fmt: skip
def test_fields_of_chats_are_refused_and_those_of_this_interface_named(
    client: OpenAI, name: str, value: Any, here: str | None
) -> None:
    said = f"this interface has no '{name}'" + (f"; here it is '{here}'" if here else "")
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(model="tiny", input="a", extra_body={name: value})
    assert (refused.value.param, refused.value.code) == (name, "unsupported_parameter")
    assert refused.value.body["message"] == said  # type: ignore[index]
    nothing = {name: {"response_format": {"type": "text"}, "n": 1, "logprobs": False}.get(name)}
    assert client.responses.create(model="tiny", input="a", max_output_tokens=1, extra_body=nothing).status


def test_probabilities_come_where_they_are_asked_for(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "input": "what is red", "max_output_tokens": 6, "top_logprobs": 2}
    asked["include"] = ["message.output_text.logprobs"]
    answer: Any = client.responses.create(**asked)
    chat: Any = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "what is red"}], max_tokens=6, logprobs=True, top_logprobs=2
    )
    [content] = answer.output[0].content
    expected = [token.model_dump() for token in chat.choices[0].logprobs.content]
    assert len(expected) == answer.usage.output_tokens
    assert [token.model_dump() for token in content.logprobs] == expected
    assert answer.top_logprobs == 2
    events: list[Any] = list(client.responses.create(stream=True, **asked))
    told = [token for event in events if event.type == "response.output_text.delta" for token in event.logprobs]
    [done] = [event for event in events if event.type == "response.output_text.done"]
    assert [token.token for token in told] == [token.token for token in done.logprobs]
    assert [token.token for token in told] == [token["token"] for token in expected]
    assert events[-1].response.output[0].content[0].logprobs == content.logprobs
    plain: Any = client.responses.create(model="tiny", input="what is red", max_output_tokens=6)
    assert plain.output[0].content[0].logprobs == []


def test_an_empty_address_of_a_picture_is_said_to_be_one(client: OpenAI) -> None:
    said: Any = [{"role": "user", "content": [{"type": "input_image", "image_url": ""}]}]
    with pytest.raises(BadRequestError, match="image_url '' is neither a data URL nor") as refused:
        client.responses.create(model="tiny", input=said)
    assert refused.value.code == "invalid_image"
