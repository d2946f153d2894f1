"""Fixtures that several rooms share."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference results, where it is at hand: `$CAMML_GOLDEN`, or `../shared/golden`."""
    folder = Path(os.environ.get("CAMML_GOLDEN", ROOT.parent / "shared" / "golden"))
    if not folder.is_dir():
        pytest.skip(f"no reference results at {folder}")
    return folder
