"""Many clients at once, by the script that measures it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psutil")
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "serve_load.py"


def load(folder: Path, *arguments: str) -> dict[str, Any]:
    """What the script reports."""
    out = folder / "report.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(out), *arguments],
        capture_output=True, text=True, timeout=580, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert out.exists(), done.stderr
    report: dict[str, Any] = json.loads(out.read_text())
    assert done.returncode == 0, report
    return report


def test_every_client_gets_its_own_answer(tmp_path: Path) -> None:
    report = load(tmp_path, "--clients", "16", "--seconds", "10", "--tokens", "8", "--secrets", "24")
    assert report["wrong"] == 0
    assert report["answers"] >= 16
    # of 24 a model with random weights gives some twice
    assert int(report["different_answers"].split()[0]) > 11, "answers must depend on the question"


@pytest.mark.slow
def test_for_two_minutes(tmp_path: Path) -> None:
    report = load(tmp_path, "--clients", "64", "--seconds", "120")
    assert report["answers"] > 64


def test_clients_with_pictures_get_the_same_at_once_as_alone(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    script = SCRIPT.with_name("serve_pictures.py")
    done = subprocess.run(
        [sys.executable, str(script), "--out", str(out), "--clients", "6", "--turns", "1", "--tokens", "6"],
        capture_output=True, text=True, timeout=580, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text())
    assert report["same_answers"]
    assert report["different_answers"] > 1, "answers must depend on the question"
