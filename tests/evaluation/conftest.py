"""The benchmarks on disk, once for all tests of this room."""

from pathlib import Path

import pytest

from tests.layouts import Records, lines, write_benchmarks


@pytest.fixture(scope="session")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Records]]:
    """The data folder of all tasks, and for each task the records of a perfect answer file. Not to be changed."""
    folder = tmp_path_factory.mktemp("eval")
    return folder, write_benchmarks(folder)


@pytest.fixture
def answer_file(benchmarks: tuple[Path, dict[str, Records]], tmp_path: Path):
    """A function: task name to a perfect answer file of it."""
    return lambda name: lines(tmp_path / f"{name}.jsonl", benchmarks[1][name])
