"""Folders of requests, and what is left of them after a kill."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from camml.serving import scratch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_gone_with_its_request(temporary: Path) -> None:
    with scratch.folder() as folder:
        (Path(folder) / "0.png").write_bytes(b"x")
        assert Path(folder).parent == temporary
    assert list(temporary.iterdir()) == []


def test_what_a_killed_server_left_is_swept_up(temporary: Path) -> None:
    code = "import os; from camml.serving import scratch; folder = scratch.folder(); os.kill(os.getpid(), 9)"
    environment = os.environ | {"TMPDIR": str(temporary)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=120)
    (temporary / f"{scratch.PREFIX}-{os.getpid()}-old").mkdir()
    alive = temporary / f"{scratch.PREFIX}-{os.getppid()}-abc"
    alive.mkdir()
    others = [temporary / "other", temporary / f"{scratch.PREFIX}-x-y", temporary / f"{scratch.PREFIX}-1"]
    for other in others:
        other.mkdir()
    link = temporary / f"{scratch.PREFIX}-999999999-link"
    link.symlink_to(temporary / "other")
    assert len(list(temporary.iterdir())) == 8
    assert scratch.sweep() == 3
    assert sorted(temporary.iterdir()) == sorted([alive, link, *others])
