"""The client of chat endpoints, against one on this machine."""

import time
from http.server import BaseHTTPRequestHandler

import pytest

from camml.chat_api import ChatApi
from camml.errors import FetchError, OptionError
from tests.chat_server import chat_server, raw_server

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


def test_nobody_there_is_an_error(silent: str) -> None:
    with pytest.raises(FetchError, match="in 2 tries"):
        ChatApi("judge", f"{silent}/v1", tries=2, sleep=lambda _: None).complete(ASKED)


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


def test_the_key_of_the_environment_is_stripped_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://here/v1/\r\n")
    monkeypatch.setenv("OPENAI_API_KEY", "k\r\n")
    assert ChatApi.of_environment("m") == ChatApi("m", "http://here/v1", "k")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secr€t")
    with pytest.raises(OptionError, match=r"^the API key in OPENAI_API_KEY holds") as raised:
        ChatApi.of_environment("m")
    assert "sk-" not in str(raised.value)
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.setenv("OPENAI_API_KEY", " \r\n")
    with pytest.raises(OptionError, match="needs a key in OPENAI_API_KEY"):
        ChatApi.of_environment("m")


def test_no_key_is_shown() -> None:
    assert "sk-secret" not in repr(ChatApi("m", key="sk-secret"))
    refused = 401, {"error": {"message": "no such key: sk-secret"}}
    with chat_server(lambda *_: refused) as (url, _), pytest.raises(FetchError, match=r"no such key: \[key\]"):
        ChatApi("m", url, "sk-secret").complete(ASKED)
    odd = 200, {"error": "no such key: sk-secret"}
    with chat_server(lambda *_: odd) as (url, _), pytest.raises(FetchError, match=r"no such key: \[key\]"):
        ChatApi("m", url, "sk-secret", tries=1).complete(ASKED)


def test_a_page_instead_of_an_answer_is_named_with_what_to_do() -> None:
    with chat_server(lambda *_: b"<html>Welcome</html>") as (url, requests):
        with pytest.raises(FetchError, match=r"is not JSON \(text/html\); does the base URL end with /v1\?$"):
            ChatApi("m", url.removesuffix("/v1"), tries=3, sleep=lambda _: None).complete(ASKED)
        assert len(requests) == 1


def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    with chat_server(lambda _, number: b'{"choices": [' if number == 1 else "whole") as (url, requests):
        assert ChatApi("m", url, sleep=lambda _: None).complete(ASKED) == "whole"
    assert len(requests) == 2


@pytest.mark.parametrize("status", [425, 520, 529])
def test_what_stands_before_an_endpoint_may_be_in_trouble_too(status: int) -> None:
    with chat_server(lambda _, number: status if number == 1 else "done") as (url, requests):
        assert ChatApi("m", url, sleep=lambda _: None).complete(ASKED) == "done"
    assert len(requests) == 2


def test_for_a_quota_that_is_spent_nobody_waits() -> None:
    spent = 429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    with chat_server(lambda *_: spent) as (url, requests), pytest.raises(FetchError, match="exceeded your quota"):
        ChatApi("m", url).complete(ASKED)
    assert len(requests) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [], "error": {"message": "upstream overloaded", "code": 502}},
        {"choices": None, "error": {"message": "upstream overloaded", "code": "502"}},
        {"choices": [{"finish_reason": "error", "error": {"message": "upstream overloaded", "code": 502}}]},
    ],
)
def test_an_error_inside_an_answer_is_tried_again_and_told(document: dict[str, object]) -> None:
    with chat_server(lambda _, number: (200, document) if number == 1 else "done") as (url, requests):
        assert ChatApi("m", url, sleep=lambda _: None).complete(ASKED) == "done"
    assert len(requests) == 2
    with (
        chat_server(lambda *_: (200, document)) as (url, _),
        pytest.raises(FetchError, match=r"in 2 tries: HTTP 502 .*upstream overloaded"),
    ):
        ChatApi("m", url, tries=2, sleep=lambda _: None).complete(ASKED)


@pytest.mark.parametrize("sized", [True, False])
def test_the_time_of_an_answer_ends_however_it_drips(sized: bool) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if sized:
            handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    started = time.monotonic()
    with raw_server(drip) as url, pytest.raises(FetchError, match=r"no whole answer in 1\.5 s"):
        ChatApi("m", url, tries=1, longest=1.5).complete(ASKED)
    assert time.monotonic() - started < 8


def test_an_error_in_words_is_a_refusal_until_the_endpoint_has_answered() -> None:
    words: tuple[int, dict[str, object]] = 200, {"error": "model not loaded"}
    with (
        chat_server(lambda *_: words) as (url, requests),
        pytest.raises(FetchError, match=r"refuses model 'm': HTTP 200 with .*model not loaded"),
    ):
        ChatApi("m", url, sleep=lambda _: pytest.fail("it is not tried again")).complete(ASKED)
    assert len(requests) == 1
    with chat_server(lambda _, number: words if number == 2 else "done") as (url, requests):
        api = ChatApi("m", url, sleep=lambda _: None)
        assert [api.complete(ASKED), api.complete(ASKED)] == ["done", "done"]
    assert len(requests) == 3
