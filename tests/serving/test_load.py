"""Many clients at once, by the script that measures it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fork_server import ForkServer

pytest.importorskip("psutil")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serve_load.py"


def load(programs: ForkServer, folder: Path, *arguments: str) -> dict[str, Any]:
    """What the script reports."""
    out = folder / "report.json"
    done = programs.run(SCRIPT, "--out", out, *arguments, timeout=580)
    assert out.exists(), done.stderr
    report: dict[str, Any] = json.loads(out.read_text())
    assert done.returncode == 0, report
    return report


@pytest.mark.long
def test_every_client_gets_its_own_answer(tmp_path: Path, programs: ForkServer) -> None:
    report = load(programs, tmp_path, "--clients", "16", "--seconds", "4", "--tokens", "8", "--secrets", "24")
    assert report["wrong"] == 0
    assert report["answers"] >= 16
    # of 24 a model with random weights gives some twice
    assert int(report["different_answers"].split()[0]) > 11, "answers must depend on the question"


@pytest.mark.slow
def test_for_two_minutes(tmp_path: Path, programs: ForkServer) -> None:
    report = load(programs, tmp_path, "--clients", "64", "--seconds", "120")
    assert report["answers"] > 64


@pytest.mark.long
def test_clients_with_pictures_get_the_same_at_once_as_alone(tmp_path: Path, programs: ForkServer) -> None:
    out = tmp_path / "report.json"
    script = SCRIPT.with_name("serve_pictures.py")
    done = programs.run(script, "--out", out, "--clients", 6, "--turns", 1, "--tokens", 6, timeout=580)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert report["same_answers"]
    assert report["different_answers"] > 1, "answers must depend on the question"
