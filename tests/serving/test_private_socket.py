"""The private socket of a server, by which commands of the same user ask it."""

import platform
import threading
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from camml import running
from camml.cli.serve import listen
from camml.errors import FetchError
from camml.serving import application
from camml.serving.server import config
from tests.serving.conftest import MakeService


def test_it_leads_to_the_same_server_and_asks_for_the_same_key(
    make_service: MakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "home"))
    about = running.Running(platform.node(), 1, "http://127.0.0.1:8000", "1", "m", "tiny", {}, "refuse", True)
    server = uvicorn.Server(config(application.create(make_service(api_keys=("first-secret",)))))
    with running.private_socket(about) as private:
        assert private is not None
        thread = threading.Thread(target=server.run, args=([listen("127.0.0.1", 0), private],), daemon=True)
        thread.start()
        [result] = running.servers()
        body: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "red"}], "max_tokens": 3}
        try:
            answer = running.ask(result, "/v1/chat/completions", body, "first-secret")
            for key in (None, "another-secret"):
                with pytest.raises(FetchError, match="HTTP 401"):
                    running.ask(result, "/v1/chat/completions", body, key)
        finally:
            server.should_exit = True
            thread.join(60)
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["context"][0]["found_by"]
