"""Loading a model costs its size, and no second copy, whatever kind of folder holds it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import loading_memory

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak of a process is what Linux tells")
def test_loading_costs_the_size_of_the_model_and_no_second_copy() -> None:
    """A second copy in bfloat16 would add as much again, one in float32 twice as much."""
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.loading_memory", "100"],
        capture_output=True, text=True, timeout=300, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured.keys() == set(loading_memory.WAYS)
    for way, numbers in measured.items():
        assert 90e6 < numbers["size"] < 120e6, way
        assert 0.8 < numbers["grown"] / numbers["size"] < 1.6, (way, numbers)
