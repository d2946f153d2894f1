"""Pictures from the web, and from nowhere else."""

import http.server
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camml.errors import ImageError
from camml.serving import fetching
from camml.serving.fetching import Address, Fetcher, is_public


class Web(http.server.BaseHTTPRequestHandler):
    """A small web: pictures, redirections, and sites that misbehave."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "to":
            self.send_response(302)
            self.send_header("Location", rest)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif kind == "picture":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * int(rest or 10))
            self.close_connection = True
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            for _ in range(100):
                try:
                    self.wfile.write(b"x")
                    time.sleep(0.05)
                except OSError:
                    return
        elif kind == "path":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())
            self.close_connection = True
        elif kind == "host":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.headers["Host"].encode())
            self.close_connection = True
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def local(host: str, port: int) -> list[Address]:
    return [ipaddress.ip_address("127.0.0.1")]


@pytest.fixture
def fetcher() -> Fetcher:
    """One that takes this machine for the web."""
    return Fetcher(1000, seconds=5, allowed=lambda address: True, lookup=local)


def test_a_picture_and_its_redirections(fetcher: Fetcher, port: int) -> None:
    web = f"http://pictures.example:{port}"
    assert fetcher.fetch(f"{web}/picture/") == b"x" * 10
    assert fetcher.fetch(f"{web}/host") == f"pictures.example:{port}".encode()
    assert fetcher.fetch(f"{web}/to//to//picture/5") == b"x" * 5
    with pytest.raises(ImageError, match="redirections"):
        fetcher.fetch(f"{web}/to//to//to//to//picture/5")


def test_blanks_and_letters_of_every_script_are_asked_for_as_browsers_do(fetcher: Fetcher, port: int) -> None:
    told = fetcher.fetch(f"http://pictures.example:{port}/path/große Bilder%20/東?q=a b&c=[%C3%9F]")
    assert told.decode() == "/path/gro%C3%9Fe%20Bilder%20/%E6%9D%B1?q=a%20b&c=[%C3%9F]"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("picture/5000", "larger"),
        ("nothing", "404"),
        ("to/file:///etc/passwd", "plain http"),
        ("to/ftp://a/b", "plain"),
    ],
)
def test_what_is_refused(fetcher: Fetcher, port: int, path: str, word: str) -> None:
    with pytest.raises(ImageError, match=word):
        fetcher.fetch(f"http://pictures.example:{port}/{path}")


@pytest.mark.parametrize("url", ["ftp://a.example/b", "http://", "http://u:p@a.example/", "http://a:99999/", "//a", "x",
                                 "http://[::1", "http://a\n.example/"])  # fmt: skip
def test_what_is_no_address(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(ImageError):
        fetcher.fetch(url)


def test_slowness_has_an_end(port: int) -> None:
    fetcher = Fetcher(1000, seconds=0.3, allowed=lambda address: True, lookup=local)
    with pytest.raises(ImageError, match="cannot be downloaded"):
        fetcher.fetch(f"http://a.example:{port}/slow")


DRIPS = {
    "nothing": (b"", b""),
    "the status": (b"HTTP/1.1 200 ", b"O"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "the body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
    "a body without a length": (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
    "the size of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "small chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "a trailer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X"),
}


@pytest.fixture(params=DRIPS)
def dripping(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that sends something, and then a little more every now and then."""
    start, drip = DRIPS[request.param]
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def run() -> None:
        with suppress(OSError), listener.accept()[0] as line:
            line.sendall(start)
            while not ended.wait(0.02):
                line.sendall(drip)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    ended.set()
    listener.close()
    thread.join(5)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_one_deadline_holds_for_all_that_is_said(scheme: str, dripping: int) -> None:
    fetcher = Fetcher(1000_000, seconds=0.4, allowed=lambda address: True, lookup=local)
    begun = time.monotonic()
    with pytest.raises(ImageError, match="cannot be downloaded"):
        fetcher.fetch(f"{scheme}://a.example:{dripping}/")
    assert time.monotonic() - begun < 20


def test_a_name_that_takes_long_to_look_up_is_given_up(port: int) -> None:
    def slow(host: str, port: int) -> list[Address]:
        time.sleep(30)
        return local(host, port)

    begun = time.monotonic()
    with pytest.raises(ImageError, match="Timeout"):
        Fetcher(1000, seconds=0.3, allowed=lambda address: True, lookup=slow).fetch(f"http://a.example:{port}/picture/")
    assert time.monotonic() - begun < 20


class TestPrivate:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
            "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
            "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "192.0.2.1",
        ],
    )  # fmt: skip
    def test_addresses_of_the_inside(self, address: str) -> None:
        assert not is_public(ipaddress.ip_address(address))

    @pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
    def test_addresses_of_the_outside(self, address: str) -> None:
        assert is_public(ipaddress.ip_address(address))

    @given(st.ip_addresses(v=4))
    def test_carried_in_ipv6_they_are_the_same(self, address: ipaddress.IPv4Address) -> None:
        mapped = ipaddress.IPv6Address(f"::ffff:{address}")
        assert is_public(mapped) == is_public(address)
        assert is_public(ipaddress.IPv6Address(int(fetching.NAT64.network_address) | int(address))) == is_public(
            address
        )

    @pytest.mark.parametrize("url", ["http://127.0.0.1:{}/picture/", "http://localhost:{}/picture/", "http://[::1]:{}/",
                                     "http://0x7f000001:{}/", "http://2130706433:{}/", "http://127.1:{}/"])  # fmt: skip
    def test_nothing_of_this_machine_is_fetched(self, port: int, url: str) -> None:
        with pytest.raises(ImageError):
            Fetcher(1000).fetch(url.format(port))

    def test_one_private_address_among_public_ones_is_enough(self, port: int) -> None:
        def both(host: str, port: int) -> list[Address]:
            return [ipaddress.ip_address("1.1.1.1"), ipaddress.ip_address("127.0.0.1")]

        with pytest.raises(ImageError, match="public internet"):
            Fetcher(1000, lookup=both).fetch(f"http://a.example:{port}/")

    def test_a_redirection_inside_is_not_followed(self, port: int) -> None:
        def by_name(host: str, port: int) -> list[Address]:
            return [ipaddress.ip_address("127.0.0.1" if host == "outside.example" else "127.0.0.2")]

        fetcher = Fetcher(
            1000, allowed=lambda address: address == ipaddress.ip_address("127.0.0.1"), lookup=by_name
        )  # fmt: skip
        with pytest.raises(ImageError, match="public internet"):
            fetcher.fetch(f"http://outside.example:{port}/to/http://inside.example:{port}/picture/")

    def test_a_name_is_looked_up_once(self, port: int) -> None:
        answers = iter([[ipaddress.ip_address("127.0.0.1")], [ipaddress.ip_address("127.0.0.9")]])
        asked = []

        def rebinding(host: str, port: int) -> list[Address]:
            asked.append(host)
            return list(next(answers))

        fetcher = Fetcher(1000, allowed=lambda a: a == ipaddress.ip_address("127.0.0.1"), lookup=rebinding)
        assert fetcher.fetch(f"http://rebinding.example:{port}/picture/")
        assert asked == ["rebinding.example"]
