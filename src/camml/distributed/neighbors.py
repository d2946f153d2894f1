"""Neighbors of a dataset on a cluster: the same chunks as one process writes, written by many."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from camml.distributed import plan
from camml.distributed.cluster import Cluster, Work
from camml.durable import disk_errors
from camml.errors import OptionError
from camml.neighbors import Chunk, Retrieve
from camml.types import Query


@dataclass(frozen=True, slots=True)
class RayNeighbors:
    """A `Spread` (`neighbors.compute(..., spread=…)`) on Ray: each actor opens the datastore for itself.

    Attributes:
      load: makes what retrieves, in every actor.
    """

    load: Callable[[], Retrieve]
    cluster: Cluster = field(default_factory=Cluster)

    def __call__(self, chunks: Sequence[Chunk], k: int) -> Iterator[int]:
        """Write `chunks`, and yield the number of queries of each as it is done.

        Raises:
          OptionError: a query has an image that is no file.
          ClusterError: the cluster cannot be reached, gave up, or does not share the files.
        """
        if not chunks:
            return
        folder = chunks[0].path.parent.absolute()
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        todo = folder / f"{uuid4().hex}-{plan.NAME}"  # another run in this folder has other chunks to do
        plan.write(todo, map(_rows, chunks))
        names = [chunk.path.name for chunk in chunks]
        try:
            for result in self.cluster.run(partial(_prepare, self.load, todo, names, k), len(chunks)):
                yield result["queries"]
        finally:
            todo.unlink(missing_ok=True)


def _rows(chunk: Chunk) -> list[plan.Row]:
    rows: list[plan.Row] = []
    for query in chunk.queries:
        if query.image is not None and not isinstance(query.image, Path):
            raise OptionError(f"the image of query {query.id!r} is in memory; on a cluster it must be a file")
        rows.append((query.id or "", query.text, query.image))
    return rows


def _prepare(load: Callable[[], Retrieve], file: Path, names: Sequence[str], k: int) -> Work:
    """Open the plan in `file`, and the datastore, on a node."""
    folder, todo = file.parent, plan.Plan(file)
    retrieve = load()

    def retrieve_unit(number: int) -> dict[str, Any]:
        chunk = Chunk(folder / names[number], [Query(text, image, name) for name, text, image in todo.unit(number)])
        if chunk.path.exists():
            return {"queries": len(chunk.queries)}
        return {"queries": chunk.write(retrieve, k)}

    return retrieve_unit
