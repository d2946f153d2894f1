"""Samples and a picture to ask about, for tiny models."""

from pathlib import Path

import pytest

from camml.types import Sample
from tests import tiny


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return tiny.samples(tmp_path)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return tiny.image(tmp_path, "query", (200, 180, 0))
