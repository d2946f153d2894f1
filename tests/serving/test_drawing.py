"""The client of an OpenAI-compatible images endpoint."""

import base64
import gzip
import http.server
import io
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from PIL import Image

from camml.chat_api.endpoint import PUBLIC
from camml.errors import FetchError, OptionError
from camml.images import open_image
from camml.serving.drawing import LONGEST_PROMPT, DrawingApi


def png() -> bytes:
    """A picture."""
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "teal").save(file, "PNG")
    return file.getvalue()


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers what the test wants, and serves a picture under /v1/picture."""

    answer: Any = None
    status = 200
    more: ClassVar[dict[str, str]] = {}
    requests: list[dict[str, Any]]

    def do_POST(self) -> None:
        """The endpoint."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append({"path": self.path, "key": self.headers.get("Authorization"), **body})
        self.reply(self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode())

    def do_GET(self) -> None:
        """The picture."""
        self.reply(png())

    def reply(self, body: bytes) -> None:
        """Send it."""
        self.send_response(self.status)
        for name, value in self.more.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def endpoint() -> Iterator[type[Endpoint]]:
    """A running endpoint; `base` is its address."""
    kind = type("One", (Endpoint,), {"requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    kind.base = f"http://127.0.0.1:{server.server_port}/v1"  # type: ignore[attr-defined]
    yield kind
    server.shutdown()
    server.server_close()


def api(endpoint: Any, **environment: str) -> DrawingApi:
    """The client of the endpoint."""
    return DrawingApi.of_environment({"CAMML_IMAGES_BASE_URL": endpoint.base, **environment})


def test_a_prompt_becomes_a_picture(endpoint: Any) -> None:
    endpoint.answer = {"data": [{"b64_json": base64.b64encode(png()).decode()}]}
    assert open_image(api(endpoint, CAMML_IMAGES_API_KEY="k").draw("a dog")).size == (8, 6)
    assert endpoint.requests == [
        {"path": "/v1/images/generations", "key": "Bearer k", "model": "dall-e-3", "prompt": "a dog", "n": 1,
         "response_format": "b64_json"}
    ]  # fmt: skip


def test_a_picture_may_come_as_an_address_and_from_a_younger_model(endpoint: Any) -> None:
    endpoint.answer = {"data": [{"url": f"{endpoint.base}/picture"}]}
    assert open_image(api(endpoint, CAMML_IMAGES_MODEL="gpt-image-1").draw("a dog")).size == (8, 6)
    assert endpoint.requests == [
        {"path": "/v1/images/generations", "key": None, "model": "gpt-image-1", "prompt": "a dog", "n": 1}
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"data": []}, {"data": [{}]}, {"data": [{"b64_json": "AAAA"}]}, {"data": [{"b64_json": "?"}]}, [], "no",
        {"data": [{"url": "file:///etc/hostname"}]}, {"data": [{"url": "/etc/hostname"}]}, {"data": [{"url": 7}]},
    ],
)  # fmt: skip
def test_an_answer_without_a_picture_is_told(endpoint: Any, answer: Any) -> None:
    endpoint.answer = answer
    with pytest.raises(FetchError, match="holds no picture that can be read"):
        api(endpoint).draw("a dog")


def test_refusals_and_silence_are_told(endpoint: Any, silent: str) -> None:
    endpoint.status, endpoint.answer = 400, {"error": {"message": "not  this"}}
    with pytest.raises(FetchError, match=r"refuses to draw: HTTP 400 not this$"):
        api(endpoint).draw("a dog")
    endpoint.status, endpoint.answer = 200, b"{"
    with pytest.raises(FetchError, match="gave no picture"):
        api(endpoint).draw("a dog")
    with pytest.raises(FetchError, match=r"gave no picture \(.*refused"):
        DrawingApi(base_url=f"{silent}/v1").draw("a dog")


@pytest.mark.parametrize(("prompt", "said"), [(" ", "empty"), ("x" * (LONGEST_PROMPT + 1), "4001 characters")])
def test_prompts_that_cannot_be_drawn(prompt: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        DrawingApi(base_url="http://127.0.0.1:9/v1").draw(prompt)


def test_the_environment_says_where_and_no_key_goes_astray() -> None:
    assert DrawingApi.of_environment({"OPENAI_API_KEY": "k"}) == DrawingApi(base_url=PUBLIC, key="k")
    other = {"OPENAI_API_KEY": "k", "CAMML_IMAGES_BASE_URL": "http://here/v1/"}
    assert DrawingApi.of_environment(other) == DrawingApi(base_url="http://here/v1", key="")
    assert "secret" not in repr(DrawingApi(key="secret"))
    with pytest.raises(OptionError, match="none is set: start the server with OPENAI_API_KEY"):
        DrawingApi.of_environment({})
    with pytest.raises(OptionError, match="should begin with http"):
        DrawingApi.of_environment({"CAMML_IMAGES_BASE_URL": "ftp://x"})


def test_a_key_is_never_part_of_an_error(endpoint: Any) -> None:
    endpoint.answer = {"data": [{"b64_json": base64.b64encode(png()).decode()}]}
    api(endpoint, CAMML_IMAGES_API_KEY="sk-secret\r\n").draw("a dog")
    assert endpoint.requests[0]["key"] == "Bearer sk-secret"
    for key in ("sk-sec\rret", "sk-sec\nret", "sk-secr€t"):
        for environment in ({"CAMML_IMAGES_API_KEY": key}, {"OPENAI_API_KEY": key}):
            with pytest.raises(OptionError, match=r"the API key in [A-Z_]*_API_KEY holds a character") as raised:
                DrawingApi.of_environment({"OPENAI_BASE_URL": endpoint.base, **environment})
            assert "sk-" not in str(raised.value)
        with pytest.raises(OptionError) as raised:
            DrawingApi(base_url=endpoint.base, key=key)
        assert "sk-" not in str(raised.value)
    endpoint.status, endpoint.answer = 401, {"error": {"message": f"unknown key {'x' * 285} sk-secret"}}
    with pytest.raises(FetchError, match="HTTP 401 unknown key") as refused:
        api(endpoint, CAMML_IMAGES_API_KEY="sk-secret").draw("a dog")
    assert "sk-" not in str(refused.value)


@pytest.mark.parametrize("address", ["http://127.0.0.1:abc/v1", "http://", "http://a host/v1", "http://[::1"])
def test_an_address_that_cannot_be_asked_is_missing_rather_than_silent(address: str) -> None:
    with pytest.raises(OptionError, match="no request can be sent to the base URL of the images endpoint"):
        DrawingApi.of_environment({"CAMML_IMAGES_BASE_URL": address})


def test_a_prompt_is_not_sent_on_to_where_the_endpoint_redirects(endpoint: Any) -> None:
    endpoint.status, endpoint.more, endpoint.answer = 302, {"Location": f"{endpoint.base}/picture?token=secret"}, {}
    with pytest.raises(FetchError, match=r"HTTP 302 the endpoint redirects to 127\.0\.0\.1, .*base URL") as raised:
        api(endpoint).draw("a dog")
    assert "secret" not in str(raised.value)
    assert len(endpoint.requests) == 1


def test_a_query_stays_behind_the_path_and_out_of_messages(endpoint: Any) -> None:
    endpoint.answer = gzip.compress(json.dumps({"data": [{"b64_json": base64.b64encode(png()).decode()}]}).encode())
    endpoint.more = {"Content-Encoding": "gzip"}
    drawing = DrawingApi(base_url=f"{endpoint.base}?code=secret")
    assert open_image(drawing.draw("a dog")).size == (8, 6)
    assert endpoint.requests[0]["path"] == "/v1/images/generations?code=secret"
    endpoint.more = {}
    for endpoint.status, endpoint.answer in ((400, {}), (200, {}), (200, b"{")):
        with pytest.raises(FetchError) as raised:
            drawing.draw("a dog")
        assert "secret" not in str(raised.value)
