"""A small datastore of colours."""

from pathlib import Path

import pytest

from camml.types import Sample
from tests.colors import Colors, picture, sample


@pytest.fixture
def encoder() -> Colors:
    return Colors()


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Three with an image, one without."""
    pictures = tmp_path / "pictures"
    return [
        sample("r", "a red thing", picture(pictures, "red"), {"kind": "pure", "number": 1}),
        sample("g", "a green thing", picture(pictures, "green"), {"kind": "pure", "tags": ["leaf", "go"]}),
        sample("y", "red and green together", picture(pictures, "yellow"), {"kind": "mixed"}),
        sample("t", "only the word blue"),
    ]
