"""A chat endpoint on this machine that answers as a test wants."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Reply = Callable[[dict[str, Any], int], str | int | bytes | dict[str, Any] | tuple[int, dict[str, Any]]]
"""The request and its number, from 1, to the text of the answer, an HTTP status, a choice, a status and its body, or
the bytes of an answer, which are called a web page where they begin with `<`."""


class Server(ThreadingHTTPServer):
    """Does not mind clients that go away before they have their answer."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def chat_server(reply: Reply, usage: dict[str, int] | None = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Base URL, and the requests so far with their `authorization`; `usage` comes with each answer."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append({**request, "path": self.path, "authorization": self.headers.get("Authorization")})
            said = reply(request, len(requests))
            if isinstance(said, bytes):
                self.send(200, said, "text/html; charset=utf-8" if said[:1] == b"<" else "application/json")
                return
            if isinstance(said, int):
                said = said, {"error": {"message": f"status {said}"}}
            if isinstance(said, str):
                said = {"message": {"role": "assistant", "content": said}}
            if isinstance(said, dict):
                said = 200, {"choices": [said]} | ({"usage": usage} if usage else {})
            status, body = said
            self.send(status, json.dumps(body).encode(), "application/json")

        def send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", requests
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def raw_server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Runs an endpoint that answers with bytes of its own; gives its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with suppress(OSError):
                answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = Server(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
