"""What the server adds to its API for the page."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from camml.serving.application import create
from camml.serving.page_routes import read_files


@pytest.fixture
def client(make_service: Callable[..., Any]) -> TestClient:
    """A client of a server without keys."""
    return TestClient(create(make_service()))


def test_the_page_allows_nothing_foreign(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.findall(r"https?://[^\"]*", answer.text) == []
    assert re.findall(r"\son\w+=|style=|<script>", answer.text) == []


def test_everything_that_files_name_is_there(client: TestClient) -> None:
    files = read_files()
    for name, file in files.items():
        assert client.get(f"/page/{name}").content == file.content
        text = file.content.decode()
        named = re.findall(r"(?:href|src)=\"page/([^\"]+)\"|from \"\./([^\"]+)\"", text)
        assert {row or other for row, other in named} <= files.keys()
    assert 'rel="modulepreload" href="page/chat.js"' in client.get("/").text
    kinds = {name.rpartition(".")[2]: client.get(f"/page/{name}").headers["content-type"] for name in files}
    assert kinds["js"].startswith(("text/javascript", "application/javascript"))
    assert kinds["svg"] == "image/svg+xml"


def test_a_file_that_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/page/page.css")
    again = client.get("/page/page.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpage_routes.py", "__init__.py"])
def test_only_files_of_the_page_are_sent(client: TestClient, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404


def test_setup_says_what_the_page_must_know(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMML_IMAGES_BASE_URL", "http://127.0.0.1:9/v1")
    body = client.get("/v1/page/setup").json()
    assert body["model"] == "tiny"
    assert body["default_shots"] >= 1
    assert body["drawing"]["model"] == "dall-e-3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "at [0, 0.25, 1, 0.75]",
            {"box": [0, 0.25, 1, 0.75], "normalised": [0, 50, 400, 150], "padded": [0, 0, 400, 200]},
        ),
        ("nowhere", {"box": None}),
    ],
)
def test_a_box_in_pixels(client: TestClient, text: str, expected: dict[str, Any]) -> None:
    assert client.post("/v1/page/box", json={"text": text, "width": 400, "height": 200}).json() == expected


@pytest.mark.parametrize("body", [{"text": "", "width": 0, "height": 1}, {"text": ""}, {"prompt": "x"}, [], None])
def test_bad_boxes_are_refused(client: TestClient, body: Any) -> None:
    answer = client.post("/v1/page/box", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_what_cannot_be_drawn_is_said(client: TestClient, monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "CAMML_IMAGES_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    answer = client.post("/v1/page/drawing", json={"prompt": "a dog"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_value")
    monkeypatch.setenv("CAMML_IMAGES_BASE_URL", f"{silent}/v1")
    answer = client.post("/v1/page/drawing", json={"prompt": "a dog"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "drawing_failed")


def test_with_keys_only_the_files_are_for_everybody(make_service: Callable[..., Any]) -> None:
    client = TestClient(create(make_service(api_keys=("sesame-open",))))
    assert client.get("/").status_code == client.get("/page/main.js").status_code == 200
    assert client.get("/v1/page/setup").status_code == 401
    assert client.post("/v1/page/drawing", json={"prompt": "a dog"}).status_code == 401
    assert client.get("/v1/page/setup", headers={"Authorization": "Bearer sesame-open"}).status_code == 200


def test_a_key_that_cannot_be_sent_is_told_as_missing_and_not_shown(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMML_IMAGES_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("CAMML_IMAGES_API_KEY", "sk-sec\rret")
    assert "the API key in CAMML_IMAGES_API_KEY holds" in client.get("/v1/page/setup").json()["drawing"]["missing"]
    answer = client.post("/v1/page/drawing", json={"prompt": "a dog"})
    assert answer.status_code == 400
    assert "sk-" not in answer.text
