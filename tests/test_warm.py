"""Programs that are split off a process behave as those that are started anew."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm


@pytest.fixture(params=["split off", "started"])
def nursery(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[warm.Nursery]:
    if request.param == "started":
        monkeypatch.setattr(sys, "platform", "darwin")
    nursery = warm.Nursery(tmp_path, ("json",))
    yield nursery
    nursery.close()


def test_arguments_folder_environment_and_output_are_its_own(nursery: warm.Nursery, tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv, os.getcwd(), os.environ['A']); sys.exit(4)"
    done = nursery.run("-c", code, "x", 3, cwd=tmp_path, env={"A": "b"})
    assert (done.returncode, done.stdout) == (4, f"['-c', 'x', '3'] {tmp_path} b\n")


def test_a_script_and_a_module_run(nursery: warm.Nursery, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    (tmp_path / "script.py").write_text("import sys, beside\nprint(beside.NAME, __name__, sys.argv[1:])\n")
    assert nursery.run(tmp_path / "script.py", "x").stdout == "beside __main__ ['x']\n"
    assert nursery.run("-m", "script", "y", cwd=tmp_path).stdout == "beside __main__ ['y']\n"


def test_its_end_is_that_of_python(nursery: warm.Nursery) -> None:
    refused = nursery.run("-c", "import sys; sys.exit('no')")
    assert (refused.returncode, refused.stderr) == (1, "no\n")
    failed = nursery.run("-c", "1 / 0")
    assert failed.returncode == 1
    assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")
    late = "import atexit, threading, time; atexit.register(print, 'bye')\n"
    late += "threading.Thread(target=lambda: (time.sleep(0.1), print('done'))).start()"
    assert nursery.run("-c", late).stdout == "done\nbye\n"


def test_it_is_seen_and_ended_while_it_runs(nursery: warm.Nursery) -> None:
    program = nursery.start("-c", "import time; print('begun', flush=True); time.sleep(300)")
    assert warm.first_line(program, nursery.file("out")) == "begun"
    assert program.poll() is None
    with pytest.raises(warm.TimeoutExpired):
        program.wait(0.01)
    warm.kill(program)
    assert program.returncode == -9
