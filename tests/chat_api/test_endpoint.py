"""Addresses and keys of endpoints: those that cannot work are refused before anything is sent, and no key is shown."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.request import urlopen

import pytest

from camml.chat_api import ChatApi
from camml.chat_api.endpoint import address_of, check_address, check_key, json_request, shown, without_key
from camml.errors import OptionError
from tests.chat_server import chat_server


@pytest.mark.parametrize("around", ["\r", "\n", "\r\n", " "])
def test_what_a_file_leaves_around_a_key_is_not_part_of_it(around: str) -> None:
    assert check_key(f"{around}sk-1{around}", "KEY") == "sk-1"
    with chat_server(lambda *_: "fine") as (url, requests):
        assert ChatApi("m", url, f"sk-1{around}").complete([{"role": "user", "content": "x"}]) == "fine"
    assert requests[0]["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("key", ["sk-se\rcret", "sk-se\ncret", "sk-secr€t", "sk-secret\x00"])
def test_a_key_that_no_header_takes_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(OptionError, match=r"^the API key in KEY holds a character") as raised:
        check_key(key, "KEY")
    assert "cret" not in str(raised.value)
    assert "sk-" not in str(raised.value)
    with pytest.raises(OptionError) as raised:
        ChatApi("m", "http://127.0.0.1:9/v1", key)
    assert "sk-" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:abc/v1", "http://127.0.0.1:99999/v1", "http://", "http:///v1", "http://a host/v1",
     "http://[::1", "http://a..b/v1", "http://here/v€", "here/v1", "ftp://here/v1", "http://here\x00/v1"],
)  # fmt: skip
def test_an_address_that_no_request_can_be_sent_to_is_refused(address: str) -> None:
    with pytest.raises(OptionError, match=r"the base URL '.*(should begin with http://|give one like http://)"):
        check_address(address, "the base URL")
    with pytest.raises(OptionError):
        ChatApi("m", address, sleep=lambda _: pytest.fail("it is not tried again"))


def test_an_address_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(OptionError, match="holds a user name or a password") as raised:
        check_address("https://anna:geheim@here/v1", "the base URL")
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("address", ["http://here/v1", "https://bücher.example/v1", "http://[::1]:80/v1", "HTTP://X"])
def test_good_addresses_stay_as_they_are(address: str) -> None:
    assert check_address(f" {address}/\r\n", "the base URL") == address


@pytest.mark.parametrize(
    ("address", "clean"),
    [("http://here/v1/?a=/", "http://here/v1?a=/"), ("https://here?a=b@c", "https://here?a=b@c")],
)
def test_a_query_stands_behind_the_path(address: str, clean: str) -> None:
    assert check_address(address, "the base URL") == clean
    assert address_of(clean, "x/y") == clean.replace("?", "/x/y?")
    assert shown(clean) == clean.partition("?")[0]


def test_a_fragment_is_refused() -> None:
    with pytest.raises(OptionError, match="leave out '#v1'"):
        check_address("http://here/#v1", "the base URL")


def test_a_key_is_taken_out_of_what_an_endpoint_says() -> None:
    assert without_key("Incorrect key sk-1: sk-1", "sk-1") == "Incorrect key [key]: [key]"
    assert without_key("as it is", "") == "as it is"


def test_a_key_is_not_sent_on_to_where_an_endpoint_redirects() -> None:
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(("first", self.headers["Authorization"]))
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{server.server_port}/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            asked.append(("elsewhere", self.headers["Authorization"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        urlopen(json_request(f"http://127.0.0.1:{server.server_port}/v1", {}, "sk-1"), timeout=10).close()
    finally:
        server.shutdown()
        server.server_close()
    assert asked == [("first", "Bearer sk-1"), ("elsewhere", None)]


def test_a_short_key_is_taken_out_where_it_stands_alone() -> None:
    assert without_key("maximum: key m, m and sk-m", "m") == "maximum: key [key], [key] and sk-m"
    assert without_key("xlong-enough-keyx", "long-enough-key") == "x[key]x"
