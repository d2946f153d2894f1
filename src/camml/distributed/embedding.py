"""Samples to vectors on a cluster; the same vectors as `camml.datastore.embedding.embed` gives in one process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from camml.datastore.embedding import Chunk, Embedded, compute, join, part_of, report
from camml.datastore.picture_files import picture_files
from camml.datastore.table import OnBad, refuse
from camml.distributed import plan, shard
from camml.distributed.cluster import Cluster, Work
from camml.durable import disk_errors
from camml.encoders import Encoder
from camml.errors import ClusterError, StoreError
from camml.progress import Progress
from camml.types import Sample

SHARD = 1024
"""Samples of a shard, rounded to whole batches: what is written at a time, and at most lost by a kill."""


@dataclass(frozen=True, slots=True)
class RayEmbedding:
    """An `Embed` (`Datastore.build(..., embed=…)`) on Ray: each actor has an encoder of its own.

    A batch holds the samples it would hold in one process, so its vectors are the same to the last bit, as far as the
    encoder's arithmetic is (machines of another kind, or another number of threads, may differ in the last digits).

    Attributes:
      load: makes the encoder, in every actor.
      shard: samples written at a time.
    """

    load: Callable[[], Encoder]
    cluster: Cluster = field(default_factory=Cluster)
    shard: int = SHARD

    def __call__(
        self,
        samples: Sequence[Sample],
        encoder: Encoder,
        work: Path,
        batch_size: int,
        on_bad: OnBad = refuse,
        progress: Progress | None = None,
    ) -> Iterator[Embedded]:
        """Embed `samples` in the parts of one process; shards are cached in `work`, which all nodes share.

        Raises:
          ImageError: an image cannot be used, and `on_bad` raises; as soon as it is met.
          ClusterError: the cluster cannot be reached, gave up, or does not share the files.
        """
        shards = _cut(len(samples), -(-self.shard // batch_size) * batch_size, part_of(batch_size))
        work = work.absolute()
        with disk_errors(work):
            work.mkdir(parents=True, exist_ok=True)
        plan.write(work / plan.NAME, ([(s.id, s.text, s.image) for s in samples[part]] for part in shards))
        names: dict[int, str] = {}
        done = 0
        revision = encoder.name, encoder.revision
        for result in self.cluster.run(partial(_prepare, self.load, revision, work, batch_size), len(shards)):
            part = shards[result["unit"]]
            names[result["unit"]] = result["name"]
            if result["bad"]:
                _report(samples[part], result["bad"], on_bad)
            done += part.stop - part.start
            if progress:
                progress(done, len(samples))
        embedded = ((samples[part], _read(work / names[number])) for number, part in enumerate(shards))
        for _, of_part in groupby(shards, lambda part: part.start // part_of(batch_size)):
            yield join(islice(embedded, len(list(of_part))), encoder)


def _cut(count: int, size: int, part: int) -> list[slice]:
    """Cut the samples into shards of `size` samples, none of which is in two parts."""
    ends = (min(start + part, count) for start in range(0, count, part))
    return [
        slice(start, min(start + size, end))
        for number, end in enumerate(ends)
        for start in range(number * part, end, size)
    ]


def _prepare(load: Callable[[], Encoder], revision: tuple[str, str], work: Path, batch_size: int) -> Work:
    """Load the encoder on a node."""
    todo = plan.Plan(work / plan.NAME)
    encoder = load()
    if (encoder.name, encoder.revision) != revision:
        raise ClusterError(
            f"a node of the cluster loads the encoder {encoder.name!r} of revision {encoder.revision}, this machine "
            f"{revision[0]!r} of revision {revision[1]}; install the same camml and the same weights everywhere"
        )

    def embed_unit(number: int) -> dict[str, Any]:
        samples = [Sample(name, text, image) for name, text, image in todo.unit(number)]
        files = picture_files(samples)
        name = shard.name_of(samples, files, encoder, batch_size)
        chunk = shard.read(work / name)
        if chunk is None:
            chunk = replace(compute(samples, encoder, batch_size), files=files)
            shard.write(work, name, samples, chunk)
        return {"name": name, "bad": [[row, why, _seen(samples[row])] for row, why in chunk.bad.items()]}

    return embed_unit


def _seen(sample: Sample) -> bool:
    return sample.image is None or sample.image.exists()


def _report(samples: Sequence[Sample], bad: list[Any], on_bad: OnBad) -> None:
    """Tell of the samples that an actor could not use.

    Raises:
      ClusterError: the actor did not see an image that is there: its node does not share the disk.
    """
    for row, reason, seen in bad:
        sample = samples[row]
        if not seen and _seen(sample):
            raise ClusterError(f"a node of the cluster does not see {sample.image}; keep images where all nodes do")
        report(samples, {row: reason}, on_bad)


def _read(path: Path) -> Chunk:
    chunk = shard.read(path)
    if chunk is None:
        raise StoreError(f"the shard {path} is gone or damaged; run the same command again")
    return chunk
