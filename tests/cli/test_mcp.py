"""The options of `camml mcp`, without a client."""

import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp")

from camml import encoders, mcp_server
from camml.cli import main
from camml.datastore import Datastore
from tests import tiny


@pytest.fixture
def arguments(tmp_path: Path, camml_folder: Path) -> list[str]:
    """A datastore and a model."""
    Datastore.build(tmp_path / "store", tiny.samples(tmp_path), encoders.load("hashed"))
    return ["mcp", "--store", str(tmp_path / "store"), "--model", str(camml_folder)]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[mcp_server.Tools]:
    """The tools of servers that end as soon as they begin."""
    tools: list[mcp_server.Tools] = []

    class Server:
        def run(self, way: str) -> None:
            assert way == "stdio"

    def server_of(given: mcp_server.Tools, writable: bool) -> Any:
        tools.append(given)
        return Server()

    monkeypatch.setattr(mcp_server, "server_of", server_of)
    return tools


def test_which_samples_how_many_and_how_much_of_them_reach_the_tools(
    arguments: list[str], served: list[mcp_server.Tools]
) -> None:
    assert main([*arguments, "--where", "who=anna", "--shots", "2", "--passages", "off"]) == 0
    [tools] = served
    assert (tools.where, tools.shots, tools.passages) == ({"who": "anna"}, 2, "off")
    assert main(arguments) == 0
    assert (served[1].where, served[1].shots, served[1].passages) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [(["--passages", "nonsense"], "nonsense"), (["--shots", "0"], "--shots is 0")],
)
def test_what_cannot_be_is_refused(
    given: list[str],
    said: str,
    arguments: list[str],
    served: list[mcp_server.Tools],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*arguments, *given]) == 2
    assert said in capsys.readouterr().err
    assert not served


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(
    arguments: list[str], served: list[mcp_server.Tools], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([*arguments, "--http", str(port)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"camml: error: cannot listen on 127.0.0.1 port {port}: ")
    assert error.endswith("choose another --http\n")
    assert not served
