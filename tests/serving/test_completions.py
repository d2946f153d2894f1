"""The older interface, asked by the official client."""

from typing import Any

import httpx
import pytest
from openai import BadRequestError, OpenAI

from tests import tiny


@pytest.fixture
def client(address: str) -> OpenAI:
    return OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def test_a_prompt_is_answered_as_the_question_of_a_chat(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 12}
    answer = client.completions.create(prompt="what is red", **asked)
    chat = client.chat.completions.create(messages=[{"role": "user", "content": "what is red"}], **asked)
    assert answer.object == "text_completion"
    assert answer.choices[0].text == chat.choices[0].message.content
    assert answer.choices[0].finish_reason == chat.choices[0].finish_reason
    assert answer.usage == chat.usage
    assert [sample["id"] for sample in answer.context] == [sample["id"] for sample in chat.context]  # type: ignore[attr-defined]
    listed = client.completions.create(prompt=["what is red"], **asked)
    assert listed.choices[0].text == answer.choices[0].text


def test_a_prompt_may_come_as_tokens_of_the_model(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 12}
    expected = client.completions.create(prompt="what is red, Zürich", **asked)
    tokens = tiny.tokenizer().encode("what is red, Zürich", add_special_tokens=False)
    for prompt in (tokens, [tokens], [1, *tokens]):
        answer = client.completions.create(prompt=prompt, **asked)
        assert (answer.choices[0].text, answer.usage) == (expected.choices[0].text, expected.usage)


def test_tokens_of_another_tokenizer_are_refused(client: OpenAI) -> None:
    letters = [tiny.tokenizer().encode(letter)[0] for letter in "the capital"]  # which has longer tokens here
    with pytest.raises(BadRequestError, match=r"own tokenizer.*send texts"):
        client.completions.create(model="tiny", prompt=letters)


def test_streamed_it_is_the_same(client: OpenAI) -> None:
    asked: dict[str, Any] = {
        "model": "tiny",
        "prompt": "what is red",
        "max_tokens": 12,
        "n": 2,
        "temperature": 1.5,
        "seed": 4,
    }
    whole = client.completions.create(**asked)
    texts, reasons, usage = ["", ""], [None, None], None
    for chunk in client.completions.create(stream=True, stream_options={"include_usage": True}, **asked):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    assert texts == [choice.text for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage


def test_probabilities(client: OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="a", max_tokens=4, logprobs=2)
    told = answer.choices[0].logprobs
    assert told is not None
    assert answer.usage is not None
    assert len(told.tokens or ()) == len(told.token_logprobs or ()) == answer.usage.completion_tokens
    assert all(len(top) <= 2 for top in told.top_logprobs or ())


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"echo": True}, "echo"), ({"best_of": 3}, "best_of"), ({"suffix": "b"}, "suffix"), ({"tools": [{}]}, "tools"),
        ({"prompt": ["a", "b"]}, "prompt"), ({"prompt": [10**6]}, "prompt"), ({"prompt": [1.5]}, "prompt.0"),
        ({"prompt": []}, "prompt"), ({"prompt": {}}, "prompt"), ({"top_p": 3}, "top_p"), ({"prompt": ""}, "prompt"),
        ({"prompt": [" "]}, "prompt"), ({"messages": [{"role": "user", "content": "b"}]}, "messages"),
        ({"top_logprobs": 2}, "top_logprobs"),
    ],
)  # fmt: skip
def test_what_it_does_not_have_is_refused(client: OpenAI, more: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.post("/completions", cast_to=httpx.Response, body={"model": "tiny", "prompt": "a", **more})
    assert refused.value.param == param


def test_the_best_of_as_many_as_are_wanted_are_all_of_them(client: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": "a", "max_tokens": 2, "n": 2}
    assert len(client.completions.create(**asked, best_of=2).choices) == 2
    with pytest.raises(BadRequestError, match="best_of"):
        client.completions.create(**asked, best_of=3)


def test_it_says_who_calls_tools(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="no 'tools'; chats and responses call tools"):
        client.completions.create(model="tiny", prompt="a", extra_body={"tools": [{"type": "function"}]})


def test_it_says_which_field_it_has_instead(client: OpenAI) -> None:
    for name, here, value in (("messages", "prompt", [{"role": "user"}]), ("top_logprobs", "logprobs", 3)):
        with pytest.raises(BadRequestError, match=f"no '{name}'; here it is '{here}'"):
            client.completions.create(model="tiny", prompt="a", extra_body={name: value})
