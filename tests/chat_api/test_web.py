"""What goes out and comes back over HTTP: the client's name, no redirection followed, packed and endless answers."""

import gzip
import json
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from camml import __version__
from camml.chat_api import ChatApi, web
from camml.errors import FetchError
from tests.chat_server import raw_server

ASKED = [{"role": "user", "content": "why?"}]
FINE = json.dumps({"choices": [{"message": {"content": "fine"}}]}).encode()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """Answers; an underscore in a header's name stands for a hyphen."""
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def test_a_request_has_the_name_of_this_client_and_its_query() -> None:
    asked: list[Any] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append((handler.headers["User-Agent"], handler.path))
        send(handler, 200, FINE)

    with raw_server(answer) as url:
        assert ChatApi("m", f"{url}/?api-version=1").complete(ASKED) == "fine"
    assert asked == [(f"camml/{__version__}", "/v1/chat/completions?api-version=1")]


def test_the_query_of_an_address_is_not_shown() -> None:
    with (
        raw_server(lambda handler: send(handler, 404, b"{}")) as url,
        pytest.raises(FetchError, match=r"/v1 refuses model") as raised,
    ):
        ChatApi("m", f"{url}?code=secret").complete(ASKED)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("place", ["https://elsewhere.example/v2?token=sk-secret", "ftp://elsewhere.example/v2"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_told_with_its_host_alone(status: int, place: str) -> None:
    with (
        raw_server(lambda handler: send(handler, status, Location=place)) as url,
        pytest.raises(FetchError, match=r"redirects to elsewhere\.example, .*base URL") as raised,
    ):
        ChatApi("m", url, sleep=lambda _: pytest.fail("it is not tried again")).complete(ASKED)
    assert "sk-secret" not in str(raised.value)
    assert "v2" not in str(raised.value)


def test_a_packed_answer_is_unpacked_and_so_is_a_refusal() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 200, gzip.compress(FINE), Content_Encoding="gzip")

    with raw_server(answer) as url:
        assert ChatApi("m", url).complete(ASKED) == "fine"
    refusal = gzip.compress(b'{"error": {"message": "no such model"}}')
    with (
        raw_server(lambda handler: send(handler, 404, refusal, Content_Encoding="GZIP")) as url,
        pytest.raises(FetchError, match=r"HTTP 404 .*no such model"),
    ):
        ChatApi("m", url).complete(ASKED)


def test_a_coding_that_nobody_here_reads_is_named_at_once() -> None:
    with (
        raw_server(lambda handler: send(handler, 200, b"\x0b", Content_Encoding="br")) as url,
        pytest.raises(FetchError, match="in the coding 'br'"),
    ):
        ChatApi("m", url, sleep=lambda _: pytest.fail("it is not tried again")).complete(ASKED)


@pytest.mark.parametrize("packed", [gzip.compress(FINE, mtime=0)[:-12], b"\x00" * 20], ids=["cut short", "no gzip"])
def test_a_packed_answer_that_is_broken_is_asked_for_again(packed: bytes) -> None:
    bodies = [packed, gzip.compress(FINE)]
    with raw_server(lambda handler: send(handler, 200, bodies.pop(0), Content_Encoding="gzip")) as url:
        assert ChatApi("m", url, sleep=lambda _: None).complete(ASKED) == "fine"


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_without_end_is_not_read_to_its_end(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_ANSWER", 2**16)
    body = gzip.compress(b" " * 2**20) if packed else b" " * 2**20
    headers = {"Content_Encoding": "gzip"} if packed else {}
    with (
        raw_server(lambda handler: send(handler, 200, body, **headers)) as url,
        pytest.raises(FetchError, match=r"larger than .* MB"),
    ):
        ChatApi("m", url, sleep=lambda _: pytest.fail("it is not tried again")).complete(ASKED)


def test_an_answer_that_ends_before_its_length_is_asked_for_again() -> None:
    lengths = [str(len(FINE) + 5), str(len(FINE))]
    with raw_server(lambda handler: send(handler, 200, FINE, Content_Length=lengths.pop(0))) as url:
        assert ChatApi("m", url, sleep=lambda _: None).complete(ASKED) == "fine"
    assert not lengths


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (lambda: formatdate(time.time() + 30, usegmt=True), 20, 31),
        (lambda: formatdate(time.time() - 30, usegmt=True), 0, 0),
        (lambda: formatdate(time.time() + 90_000, usegmt=True), 120, 120),
        (lambda: "7", 7, 7),
        (lambda: "soon", 1, 1),
        (lambda: "Thu, 99 Foo 2026", 1, 1),
        (lambda: "nan", 1, 1),
    ],
)
def test_an_endpoint_says_how_long_to_wait_in_seconds_or_by_a_date(header: Any, low: float, high: float) -> None:
    waits: list[float] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 200, FINE) if waits else send(handler, 429, Retry_After=header())

    with raw_server(answer) as url:
        assert ChatApi("m", url, sleep=waits.append).complete(ASKED) == "fine"
    assert low <= waits[0] <= high
