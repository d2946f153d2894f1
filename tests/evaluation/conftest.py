"""The benchmarks on disk, once for all tests of this room; and what it takes to run a tiny model on them."""

from collections.abc import Callable
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


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datastore of five samples. Not to be changed."""
    return build_store(tmp_path_factory.mktemp("evidence"))


def build_store(folder: Path) -> Path:
    """A datastore of five questions about pictures, with their answers."""
    from camml.datastore import Datastore
    from camml.encoders import load
    from tests import tiny

    instruction = "Answer the question using a single word or phrase."
    samples = [
        tiny.Sample(
            f"s{n}", f"What is {n}?\n{instruction}{word}", tiny.image(folder, f"{n}", (40 * n, 90, 250 - 30 * n))
        )
        for n, word in enumerate(["yes", "no", "red bus", "dog", "left"])
    ]
    Datastore.build(folder / "store", samples, load("hashed"))
    return folder / "store"


@pytest.fixture
def options(benchmarks, camml_folder: Path, store_folder: Path, tmp_path: Path) -> Callable:
    """A function that makes `Options` of a run of the tiny model, with what is given in place of the defaults."""
    from camml.evaluation.run import Options

    def make(**changes: object) -> Options:
        usual = {
            "data": benchmarks[0], "out": tmp_path / "out", "model": str(camml_folder), "store": str(store_folder),
            "max_new_tokens": 5, "device": "cpu", "resamples": 20, "batch_size": 2, "cache": None,
        }  # fmt: skip
        return Options(**usual | changes)

    return make
