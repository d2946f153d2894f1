"""Samples with pictures, and Ray clusters small enough for a laptop."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from camml.types import Sample
from tests.colors import RGB, picture

STORE_BYTES = 100 * 2**20

# Ray ends workers where the memory of the machine is nearly full, whoever fills it. Set before a cluster starts.
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Twenty-six, every third one without an image."""
    names = sorted(RGB)
    results = []
    for number in range(26):
        color = names[number % len(names)]
        image = picture(tmp_path / "pictures", color, f"{number}") if number % 3 else None
        results.append(Sample(f"sample-{number}", f"{color} thing {number} of {number // 4}", image, {"n": number}))
    return results


@pytest.fixture
def ray_here(_one_at_last: None) -> None:
    """A Ray cluster of one node and two processors, which this process is connected to; tests share it."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    if not ray.is_initialized():
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=STORE_BYTES,
            log_to_driver=False,
            logging_level="ERROR",
        )


@pytest.fixture(scope="session")
def _one_at_last() -> Iterator[None]:
    yield
    if ray := sys.modules.get("ray"):
        ray.shutdown()
