"""Tables of neighbors computed by actors: equal to those of one process."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from camml import encoders, neighbors
from camml.datastore import Datastore
from camml.distributed import RayNeighbors
from camml.errors import OptionError
from camml.retriever import Retriever
from camml.types import Query, Sample
from tests.colors import picture
from tests.distributed.folders import contents

ORIGIN = neighbors.Origin("data.json", "d" * 64, "store", "s" * 64, 1, "hashed 1", "fused", 3)


def retriever(store: Path) -> neighbors.Retrieve:
    """What every process makes for itself."""
    encoder = encoders.load("hashed")
    return Retriever(Datastore.open(store, encoder), encoder, "fused").retrieve


@pytest.mark.long
def test_a_table_is_that_of_one_process(samples: list[Sample], tmp_path: Path, ray_here: None) -> None:
    Datastore.build(tmp_path / "store", samples, encoders.load("hashed"))
    queries = [Query(f"which {sample.text}", sample.image, sample.id) for sample in samples]
    load = partial(retriever, tmp_path / "store")
    shown: list[tuple[int, int]] = []
    neighbors.compute(queries, load(), tmp_path / "one", ORIGIN, batch_size=5)
    table = neighbors.compute(
        queries,
        load(),
        tmp_path / "ray",
        ORIGIN,
        batch_size=5,
        spread=RayNeighbors(load),
        progress=lambda done, of: shown.append((done, of)),
    )
    assert contents(tmp_path / "ray") == contents(tmp_path / "one")
    assert len(table.context("sample-4")) == 3
    assert shown[-1] == (26, 26)
    assert len(shown) == 6


def test_finished_chunks_are_not_done_again(samples: list[Sample], tmp_path: Path) -> None:
    """One process goes on with what others began, and there is nothing left that a cluster were needed for."""
    queries = [Query(sample.text, None, sample.id) for sample in samples]
    chunk = neighbors.Chunk(tmp_path / "0.json", queries)
    assert chunk.write(lambda asked, k: [() for _ in asked], 3) == 26
    assert list(RayNeighbors(lambda: pytest.fail("not needed"))([], 3)) == []


def test_an_image_in_memory_cannot_travel(tmp_path: Path) -> None:
    from PIL import Image

    query = Query("what", Image.open(picture(tmp_path, "red")), "q")
    with pytest.raises(OptionError, match="'q' is in memory"):
        list(RayNeighbors(lambda: pytest.fail("not needed"))([neighbors.Chunk(tmp_path / "0.json", [query])], 3))


def test_another_run_in_the_same_folder_does_not_change_what_is_asked(tmp_path: Path) -> None:
    """The second has less to do, and begins while actors of the first do."""
    chunks = [neighbors.Chunk(tmp_path / f"{n}.json", [Query(f"text {n}", None, f"q{n}")]) for n in range(3)]

    class Here:
        """Does all units in this process, once another run has been."""

        def __init__(self, other: Any = None) -> None:
            self.other = other

        def run(self, prepare: Any, units: int) -> Iterator[dict[str, Any]]:
            list(self.other or ())
            work = prepare()
            yield from (work(unit) for unit in range(units))

    def spread(cluster: Here) -> Any:
        return RayNeighbors(lambda: lambda asked, k: [() for _ in asked], cluster)  # type: ignore[arg-type]

    second = spread(Here())(chunks[2:], 3)
    assert list(spread(Here(second))(chunks, 3)) == [1, 1, 1]
    rows = [json.loads(chunk.path.read_bytes())["rows"] for chunk in chunks]
    assert [row["id"] for [row] in rows] == ["q0", "q1", "q2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.json", "1.json", "2.json"]
