"""`camml ask --server`, with a server that notes what it is asked."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from camml import __version__
from camml.cli import _ask_server, main
from tests import tiny

REPLY = {
    "choices": [{"message": {"content": "4711"}}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 2},
    "context": [{"id": "pump", "text": "The part is 4711.", "score": 0.9, "passages": None, "meta": {}}],
    "notes": ["a note"],
}


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, code: int, document: object) -> None:
            data = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self._answer(200, {"data": [{"id": "camml-mini"}, {"id": "mini"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(body | {"key": self.headers.get("Authorization")})
            wrong = body.get("store") == "nowhere"
            self._answer(
                404 if wrong else 200, {"error": {"message": "no datastore 'nowhere' here"}} if wrong else REPLY
            )

        def log_message(self, *args: object) -> None:
            pass

    listener = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}", seen
    listener.shutdown()
    listener.server_close()


def test_the_question_goes_to_the_server(server, capsys, tmp_path: Path, monkeypatch) -> None:
    url, seen = server
    monkeypatch.setenv("CAMML_API_KEY", "secret-key")
    picture = tiny.image(tmp_path, "query", (1, 2, 3))
    options = [
        "--server",
        f"{url}/v1/",
        "--store",
        "plant",
        "--shots",
        "2",
        "--where",
        "hall=B",
        "--where",
        "year<=1999",
        "--where",
        "year>1990",
        "--where",
        "year>1985",
        "--weights",
        "image=2,text=1",
        "--image",
        str(picture),
    ]
    assert main(["ask", "Which part?", *options]) == 0
    said = capsys.readouterr().out
    assert said.startswith("4711\n")
    assert "0.9000  pump" in said
    assert "note: a note" in said
    [body] = seen
    assert (body["model"], body["store"], body["shots"], body["key"]) == ("camml-mini", "plant", 2, "Bearer secret-key")
    assert body["filter"] == {"hall": "B", "year": {"<=": "1999", ">": "1990"}}
    assert body["weights"] == {"image": 2, "text": 1}
    assert body["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert main(["ask", "Which part?", "--server", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["context"][0]["id"] == "pump"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--store", "nowhere"], "no datastore 'nowhere' here (HTTP 404)"),
        (["--attribute"], "--attribute is not for --server"),
        (
            ["--mode", "image-image", "--weights", "image=2"],
            "--weights is for --mode auto; in --mode image-image nothing",
        ),
        (["--model", "other"], "--model 'other' is not for --server, which answers with 'camml-mini'"),
    ],
)
def test_what_it_does_not_do_is_said(server, capsys, options: list[str], said: str) -> None:
    assert main(["ask", "what", "--server", server[0], *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("model", ["camml-mini", "models/camml-mini"])
def test_the_model_that_it_has_may_be_named(server, model: str) -> None:
    assert main(["ask", "what", "--server", server[0], "--model", model]) == 0


def test_weights_without_a_picture_are_said_to_change_nothing(server, capsys, tmp_path: Path) -> None:
    asked = ["ask", "what", "--server", server[0], "--weights", "image=2"]
    assert main(asked) == 0
    assert "camml: --weights changes nothing: it counts where a picture and words " in capsys.readouterr().err
    assert main([*asked, "--image", str(tiny.image(tmp_path, "query", (1, 2, 3)))]) == 0
    assert "--weights" not in capsys.readouterr().err


def test_a_server_that_is_not_there_is_named(capsys, silent: str) -> None:
    assert main(["ask", "what", "--server", silent]) == 2
    assert "is `camml serve` running there?" in capsys.readouterr().err
    assert main(["ask", "what", "--server", "localhost"]) == 2
    assert "http://" in capsys.readouterr().err


def test_a_server_that_redirects_is_said_and_the_key_not_sent_on(capsys, monkeypatch) -> None:
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["User-Agent"]))
            self.send_response(301)
            self.send_header("Location", f"http://localhost:{listener.server_port}/elsewhere?token=hidden")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    listener = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("CAMML_API_KEY", "secret-key")
    try:
        assert main(["ask", "what", "--server", f"http://127.0.0.1:{listener.server_port}"]) == 2
    finally:
        listener.shutdown()
        listener.server_close()
    said = capsys.readouterr().err
    assert "redirects to localhost, and a request is not sent on; give its own address" in said
    assert "hidden" not in said
    assert asked == [("/v1/models", f"camml/{__version__}")]


def test_a_key_that_cannot_be_sent_is_not_shown(server, capsys, monkeypatch) -> None:
    monkeypatch.setenv("CAMML_API_KEY", "secret\nkey")
    assert main(["ask", "what", "--server", server[0]]) == 2
    said = capsys.readouterr().err
    assert "the API key in CAMML_API_KEY holds a character" in said
    assert "secret" not in said


@pytest.mark.parametrize("document", [{"data": []}, {"data": [{"id": "m"}]}, {"data": ["m"]}, {}, [], None, "hello"])
def test_something_else_that_answers_there_is_said(capsys, monkeypatch, document: object) -> None:
    monkeypatch.setattr(_ask_server, "_call", lambda *_: document)
    assert main(["ask", "what", "--server", "http://127.0.0.1:9"]) == 2
    assert "what answers at http://127.0.0.1:9 is not a `camml serve`" in capsys.readouterr().err


@pytest.mark.long
def test_nothing_heavy_is_imported_to_ask_a_server(server, tmp_path: Path) -> None:
    picture = tiny.image(tmp_path, "query", (1, 2, 3))
    code = (
        "import sys; from camml.cli import main; code = main(sys.argv[1:]); "
        "print(code, *sorted({'torch', 'transformers', 'faiss', 'pyarrow'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "ask", "what", "--server", server[0], "--image", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
