"""The client of chat endpoints, against one on this machine."""

import pytest

from camml.chat_api import ChatApi
from camml.errors import FetchError, OptionError
from tests.chat_server import chat_server

ASKED = [{"role": "user", "content": "why?"}]


def test_the_answer_comes_back() -> None:
    with chat_server(lambda request, _: request["messages"][0]["content"].upper()) as (url, requests):
        assert ChatApi("judge", url, "secret").complete(ASKED, temperature=0.5) == "WHY?"
    [sent] = requests
    assert sent["path"] == "/v1/chat/completions"
    assert sent["authorization"] == "Bearer secret"
    assert (sent["model"], sent["temperature"]) == ("judge", 0.5)


def test_no_key_is_sent_where_there_is_none() -> None:
    with chat_server(lambda *_: "x") as (url, requests):
        ChatApi("judge", url).complete(ASKED)
    assert requests[0]["authorization"] is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_is_waited_for_longer_and_longer(status: int) -> None:
    waits: list[float] = []
    with chat_server(lambda _, number: status if number < 4 else "done") as (url, requests):
        assert ChatApi("judge", url, sleep=waits.append).complete(ASKED) == "done"
    assert len(requests) == 4
    assert waits == [1.0, 2.0, 4.0]


def test_lasting_trouble_is_an_error_that_says_what() -> None:
    with (
        chat_server(lambda *_: 500) as (url, requests),
        pytest.raises(FetchError, match=r"in 3 tries: HTTP 500 .*status 500"),
    ):
        ChatApi("judge", url, tries=3, sleep=lambda _: None).complete(ASKED)
    assert len(requests) == 3


def test_a_refusal_is_not_tried_again() -> None:
    with (
        chat_server(lambda *_: 401) as (url, requests),
        pytest.raises(FetchError, match="refuses model 'judge': HTTP 401"),
    ):
        ChatApi("judge", url).complete(ASKED)
    assert len(requests) == 1


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(FetchError, match="in 2 tries"):
        ChatApi("judge", "http://127.0.0.1:9/v1", tries=2, sleep=lambda _: None).complete(ASKED)


def test_the_environment_has_address_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://here/v1/")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert ChatApi.of_environment("m") == ChatApi("m", "http://here/v1", "k")
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(OptionError, match="OPENAI_API_KEY"):
        ChatApi.of_environment("m")
    with pytest.raises(OptionError, match="http://"):
        ChatApi.of_environment("m", "here/v1")
