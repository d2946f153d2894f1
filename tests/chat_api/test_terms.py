"""Endpoints that refuse settings: learned from the first refusal, whatever its words, and remembered."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep
from typing import Any

import pytest

from camml.chat_api import ChatApi
from camml.chat_api.terms import Learned, Terms
from camml.errors import FetchError
from tests.chat_server import chat_server

ASKED = [{"role": "user", "content": "why?"}]
USUAL = {"max_tokens": 3, "temperature": 0.0}


def endpoint(says: Callable[[str], Any], refuses: tuple[str, ...] = ("max_tokens", "temperature"), status: int = 400):
    """An endpoint that refuses settings, one at a time, in words of its own."""

    def reply(request: dict[str, Any], _: int) -> Any:
        wrong = next((name for name in refuses if name in request), None)
        return (status, says(wrong)) if wrong else "fine"

    return reply


def official(name: str) -> dict[str, Any]:
    """A refusal as OpenAI words it."""
    advice = "Use 'max_completion_tokens' instead." if name == "max_tokens" else "Only the default (1) is supported."
    return {"error": {"message": f"Unsupported parameter: '{name}'. {advice}", "param": name, "code": "unsupported"}}


@pytest.mark.parametrize(
    "says",
    [
        official,
        lambda name: {"error": {"message": "Unsupported parameter(s)", "param": name}},
        lambda name: {"detail": [{"loc": ["body", name], "msg": "Extra inputs are not permitted"}]},
        lambda name: {"error": f"`{name}` is deprecated for this model"},
        lambda name: {"error": {"message": "The request is not valid for this model."}},
        lambda name: {"message": "Ungueltige Anfrage"},
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_setting_is_learned_once_whatever_the_wording(says, status) -> None:
    with chat_server(endpoint(says, status=status)) as (url, requests):
        api = ChatApi("thinker", url)
        assert api.reply(ASKED, **USUAL).text == "fine"
        refused = len(requests) - 1
        assert 1 <= refused <= 3
        assert api.reply(ASKED, **USUAL).left_out == ("temperature",)
        assert api.left_out == ("temperature",)
    assert len(requests) == refused + 2
    for sent in requests[-2:]:
        assert sent["max_completion_tokens"] == 3
        assert not {"max_tokens", "temperature"} & sent.keys()


def test_what_is_taken_is_sent_as_it_is() -> None:
    with chat_server(endpoint(official, ("max_tokens",))) as (url, requests):
        ChatApi("newer", url).reply(ASKED, **USUAL)
    assert requests[-1]["temperature"] == 0
    with chat_server(endpoint(official, ("temperature", "top_p"))) as (url, requests):
        reply = ChatApi("warm", url).reply(ASKED, max_tokens=3, temperature=0.7, top_p=0.9, seed=1)
    assert reply.left_out == ("temperature", "top_p")
    assert (requests[-1]["max_tokens"], requests[-1]["seed"]) == (3, 1)


def test_threads_that_begin_together_learn_it_once() -> None:
    with chat_server(endpoint(official)) as (url, requests):
        api = ChatApi("thinker", url)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: api.reply(ASKED, **USUAL).text, range(16))) == ["fine"] * 16
    assert len(requests) == 2 + 16


def test_threads_that_waited_for_the_first_go_on_together() -> None:
    learned, together = Learned(), Barrier(4)

    def ask() -> None:
        with learned.first_alone():
            together.wait(20)

    with ThreadPoolExecutor(4) as pool:
        with learned.first_alone():
            asked = [pool.submit(ask) for _ in range(4)]
            sleep(0.2)  # until all of them wait
        for one_of_them in asked:
            one_of_them.result(60)


def test_a_refusal_sent_as_a_success_is_understood() -> None:
    with chat_server(endpoint(official, status=200)) as (url, requests):
        assert ChatApi("thinker", url).complete(ASKED, **USUAL) == "fine"
    assert len(requests) == 3


def test_a_refusal_about_something_else_is_told_as_it_came() -> None:
    with (
        chat_server(lambda *_: (400, {"error": {"message": "the prompt is too long"}})) as (url, requests),
        pytest.raises(FetchError, match=r"refuses model 'm': HTTP 400 .*the prompt is too long"),
    ):
        ChatApi("m", url).complete(ASKED, **USUAL)
    assert len(requests) == 4


def test_a_question_that_is_filtered_is_withheld_and_stops_no_run() -> None:
    filtered = {"error": {"message": "The prompt was filtered.", "code": "content_filter", "param": "prompt"}}
    with chat_server(lambda *_: (400, filtered)) as (url, requests):
        assert ChatApi("m", url).reply(ASKED, **USUAL).lacking == "withheld reply, finish_reason content_filter"
    assert len(requests) == 1


def test_after_an_answer_nothing_is_guessed() -> None:
    with chat_server(lambda _, number: "fine" if number == 1 else 400) as (url, requests):
        api = ChatApi("m", url)
        assert api.complete(ASKED, **USUAL) == "fine"
        with pytest.raises(FetchError, match="HTTP 400"):
            api.complete(ASKED, **USUAL)
    assert len(requests) == 2
    assert api.left_out == ()


@pytest.mark.parametrize(
    "error",
    [
        {"message": "max_tokens is too large: 128. This model gives at most 100 tokens", "param": "max_tokens"},
        {"message": "the sum of the prompt and max_tokens (128) is above the context length of 100"},
    ],
)
def test_a_limit_that_is_too_large_is_told_and_not_sent_under_another_name(error: dict[str, str]) -> None:
    def reply(request: dict[str, Any], _: int) -> Any:
        return (400, {"error": error}) if request.get("max_tokens", 0) > 100 else "without a limit"

    with chat_server(reply) as (url, requests), pytest.raises(FetchError, match="max_tokens"):
        ChatApi("m", url).reply(ASKED, max_tokens=128)
    assert len(requests) == 1


LONG = "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 tokens."


@pytest.mark.parametrize(
    "error",
    [
        {"message": LONG, "param": "messages", "code": "context_length_exceeded"},
        {"message": LONG, "type": "BadRequestError", "code": 400},
        {"message": "too many tokens", "type": "exceed_context_size_error", "code": 400},
    ],
)
@pytest.mark.parametrize("status", [400, 413])
def test_a_question_that_is_too_long_has_no_answer_and_stops_no_run(error: dict[str, object], status: int) -> None:
    with chat_server(lambda *_: (status, {"error": error})) as (url, requests):
        reply = ChatApi("m", url).reply(ASKED, **USUAL)
    assert reply.too_long
    assert reply.lacking == "withheld reply, finish_reason context_length_exceeded"
    assert len(requests) == 1


@pytest.mark.parametrize("words", ["should be less than or equal to 1", "1.5 is not allowed here"])
def test_a_refused_value_is_left_out_and_other_values_are_still_sent(words: str) -> None:
    def reply(request: dict[str, Any], _: int) -> Any:
        too_hot = request.get("temperature", 0) > 1
        return (400, {"error": {"message": f"temperature: {words}"}}) if too_hot else "fine"

    with chat_server(reply) as (url, requests):
        api = ChatApi("judge", url)
        noted = [api.reply(ASKED, temperature=heat).left_out for heat in (0.5, 1.5, 1.0, 1.5, 0.5)]
    assert noted == [(), ("temperature 1.5",), (), ("temperature 1.5",), ()]
    assert [sent.get("temperature") for sent in requests] == [0.5, 1.5, None, 1.0, None, 0.5]
    assert api.left_out == ("temperature 1.5",)


def test_a_setting_refused_by_its_first_value_is_left_out_for_that_value() -> None:
    def reply(request: dict[str, Any], _: int) -> Any:
        too_hot = request.get("temperature", 0) > 1
        return (422, {"error": {"message": "must be between 0 and 1", "param": "temperature"}}) if too_hot else "fine"

    with chat_server(reply) as (url, requests):
        api = ChatApi("m", url)
        for heat in (2.0, 1.0):
            api.reply(ASKED, temperature=heat, response_format={"type": "json_object"})
    assert [sent.get("temperature") for sent in requests] == [2.0, None, 1.0]


def test_what_other_threads_learned_is_not_forgotten() -> None:
    learned = Learned()
    learned.keep(Terms(left_out=frozenset({"seed"})), {})
    learned.keep(Terms(frozenset({"max_tokens"})), {})
    assert learned.terms == Terms(frozenset({"max_tokens"}), frozenset({"seed"}))
