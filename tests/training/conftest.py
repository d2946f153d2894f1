"""A folder with everything for a run, made once."""

from pathlib import Path

import pytest

from tests.training import runs


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parts of a model, data and neighbors; tests write their runs elsewhere."""
    folder = tmp_path_factory.mktemp("bench")
    runs.flags(folder)
    return folder
