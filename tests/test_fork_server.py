"""Programs that are split off a process behave as those that are started anew."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import fork_server


@pytest.fixture(params=["split off", "started"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[fork_server.ForkServer]:
    if request.param == "started":
        monkeypatch.setattr(sys, "platform", "darwin")
    server = fork_server.ForkServer(tmp_path, ("json",))
    yield server
    server.close()


def test_arguments_folder_environment_and_output_are_its_own(server: fork_server.ForkServer, tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv, os.getcwd(), os.environ['A']); sys.exit(4)"
    done = server.run("-c", code, "x", 3, cwd=tmp_path, env={"A": "b"})
    assert (done.returncode, done.stdout) == (4, f"['-c', 'x', '3'] {tmp_path} b\n")


def test_a_script_and_a_module_run(server: fork_server.ForkServer, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    (tmp_path / "script.py").write_text("import sys, beside\nprint(beside.NAME, __name__, sys.argv[1:])\n")
    assert server.run(tmp_path / "script.py", "x").stdout == "beside __main__ ['x']\n"
    assert server.run("-m", "script", "y", cwd=tmp_path).stdout == "beside __main__ ['y']\n"


def test_its_end_is_that_of_python(server: fork_server.ForkServer) -> None:
    refused = server.run("-c", "import sys; sys.exit('no')")
    assert (refused.returncode, refused.stderr) == (1, "no\n")
    failed = server.run("-c", "1 / 0")
    assert failed.returncode == 1
    assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")
    late = "import atexit, threading, time; atexit.register(print, 'bye')\n"
    late += "threading.Thread(target=lambda: (time.sleep(0.1), print('done'))).start()"
    assert server.run("-c", late).stdout == "done\nbye\n"


def test_it_is_seen_and_ended_while_it_runs(server: fork_server.ForkServer) -> None:
    program = server.start("-c", "import time; print('begun', flush=True); time.sleep(300)")
    assert fork_server.first_line(program, server.file("out")) == "begun"
    assert program.poll() is None
    with pytest.raises(fork_server.TimeoutExpired):
        program.wait(0.01)
    fork_server.kill(program)
    assert program.returncode == -9
