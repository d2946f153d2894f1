"""What is an answer in the reply of an endpoint, and what is none."""

import time
from typing import Any

import pytest

from camml.chat_api.reply import Reply, read, without_thoughts


def document(content: Any, reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    """What an endpoint sends."""
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("Yes", "Yes"),
        ("  Yes\n", "Yes"),
        ("<think>No, wait.</think>Yes", "Yes"),
        ("<think>\nNo.\n</think>\n\nYes", "Yes"),
        ("<THINKING>No</THINKING> Yes", "Yes"),
        ("<think>a</think>Yes<think>b</think>", "Yes"),
        ("No, wait, it is so.</think>Yes", "Yes"),  # the prompt ended with <think>
        ("Yes <think>or is it", "Yes"),
        ("1 < 2 and a<b>c</b>", "1 < 2 and a<b>c</b>"),
        ([{"type": "thinking", "thinking": "No"}, {"type": "text", "text": "Yes"}], "Yes"),
        ([{"type": "text", "text": "Y"}, {"text": "es"}], "Yes"),
    ],
)
def test_the_answer_is_what_is_no_thought(content: Any, answer: str) -> None:
    reply = read(document(content))
    assert (reply.text, reply.lacking) == (answer, "")


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (document("", "length", reasoning_content="Let me think"), "empty reply, finish_reason length"),
        (document(None, "length", reasoning="Let me think"), "empty reply, finish_reason length"),
        (document(" \n"), "empty reply, finish_reason stop"),
        (document("<think>Is it red? Yes, it", "length"), "empty reply, finish_reason length"),
        (document("<think>Yes</think>"), "empty reply, finish_reason stop"),
        (document("Let me look at the picture. It", "length"), "cut off reply, finish_reason length"),
        (document("Yes", "content_filter"), "withheld reply, finish_reason content_filter"),
        (document(None, "stop", refusal="I cannot help with that."), "withheld reply, finish_reason refusal"),
        (document(None, "tool_calls", tool_calls=[{}]), "empty reply, finish_reason tool_calls"),
        (document("", None), "empty reply, finish_reason not given"),
        (document({"a": 1}), "empty reply, finish_reason stop"),
        ({"choices": [{"finish_reason": "length"}]}, "empty reply, finish_reason length"),
        ({"choices": [{"message": {"reasoning_content": "x"}}]}, "empty reply, finish_reason not given"),
        ({"choices": []}, "empty reply, finish_reason no choices"),
    ],
)
def test_what_holds_no_answer_says_why(sent: dict[str, Any], why: str) -> None:
    assert read(sent).lacking == why


def test_tokens_are_counted() -> None:
    sent = document("x") | {"usage": {"prompt_tokens": 7, "completion_tokens": 3}}
    assert read(sent) == Reply("x", 7, 3, "stop")
    assert read(document("x") | {"usage": None}) == Reply("x", 0, 0, "stop")


@pytest.mark.parametrize("sent", [[], "x", {}, {"choices": 5}, {"choices": ["x"]}, {"error": {"message": "full"}}])
def test_what_no_chat_endpoint_sends_is_an_error(sent: Any) -> None:
    with pytest.raises(ValueError, match="not that of a chat endpoint"):
        read(sent)


def test_thoughts_within_thoughts_are_none_of_the_answer() -> None:
    assert without_thoughts("<think>a <think>b</think> c</think>Yes") == "Yes"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>" * 50_000, ""),
        ("<think>" * 50_000 + "</thought>Yes", "Yes"),
        ("Yes " * 50_000, ("Yes " * 50_000).strip()),
        ("A<think>b<thought>c</THINK>D<thinking>e</thinking>F", "ADF"),
    ],
)
def test_thoughts_without_end_take_no_time(text: str, answer: str) -> None:
    started = time.process_time()
    assert without_thoughts(text) == answer
    assert time.process_time() - started < 3
