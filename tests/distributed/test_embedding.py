"""Datastores built by actors: equal to those of one process, whatever happens in between."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from camml import encoders
from camml.datastore import Datastore
from camml.datastore import embedding as embedding_alone
from camml.distributed import Cluster, RayEmbedding, embedding, plan
from camml.errors import ClusterError, ImageError
from camml.types import Sample
from tests.distributed.folders import contents
from tests.distributed.slow_encoder import SlowEncoder

HASHED = partial(encoders.load, "hashed", dim=64)


@pytest.mark.long
@pytest.mark.parametrize("part", [embedding_alone.PART, 12])
def test_a_datastore_is_that_of_one_process(
    part: int, samples: list[Sample], tmp_path: Path, ray_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_alone, "PART", part)
    shown: list[tuple[int, int]] = []
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    given = [*samples[:7], Sample("bad", "a bad one", broken), *samples[7:]]
    skipped: dict[str, list[str]] = {"one": [], "ray": []}
    for name, embed in (("one", None), ("ray", RayEmbedding(HASHED, Cluster(), shard=8))):
        Datastore.build(
            tmp_path / name / "store",
            given,
            HASHED(),
            images=tmp_path,
            batch_size=4,
            on_bad=lambda sample, error, name=name: skipped[name].append(f"{sample.id}: {error}"),
            progress=lambda done, of: shown.append((done, of)),
            **({"embed": embed} if embed else {}),
        )
    assert contents(tmp_path / "ray" / "store") == contents(tmp_path / "one" / "store")
    store = Datastore.open(tmp_path / "ray" / "store")
    assert len(store) == 26
    assert len(store.manifest.segments) == (1 if part > 27 else 3)
    assert skipped["ray"] == skipped["one"]
    assert "broken.png" in skipped["ray"][0]
    assert shown[-1] == (27, 27)


@pytest.mark.long
def test_finished_shards_are_found_again_by_what_they_were_made_from(
    samples: list[Sample], tmp_path: Path, ray_here: None
) -> None:
    log, work = tmp_path / "log", tmp_path / "work"
    load = partial(SlowEncoder, log, 0.0)
    ray = RayEmbedding(load, shard=4)
    [whole] = ray(samples, load(), work, 2)
    lines = log.read_text().splitlines()
    assert sorted(line.split(" ", 2)[2] for line in lines) == sorted(sample.text for sample in samples)
    assert len(list(work.glob("*.parquet"))) == 7 + 1  # and the plan
    damaged = next(path for path in work.glob("*.parquet") if pq.read_table(path)["id"][0].as_py() == "sample-20")
    damaged.write_bytes(damaged.read_bytes()[:-100])
    changed = Sample("sample-9", "another text", samples[9].image)
    [again] = ray([*samples[:9], changed, *samples[10:]], load(), work, 2)
    redone = log.read_text().splitlines()[len(lines) :]
    expected = ["another text", *(samples[number].text for number in (8, 10, 11, 20, 21, 22, 23))]
    assert sorted(line.split(" ", 2)[2] for line in redone) == sorted(expected)
    assert (again.image == whole.image).all()
    assert (np.delete(again.text, 9, axis=0) == np.delete(whole.text, 9, axis=0)).all()


@pytest.mark.long
def test_what_goes_wrong_in_an_actor_is_said_here(samples: list[Sample], tmp_path: Path, ray_here: None) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    given = [*samples, Sample("bad", "a bad one", broken)]
    with pytest.raises(ImageError, match=r"sample 'bad'.*broken\.png"):
        list(RayEmbedding(HASHED, shard=4)(given, HASHED(), tmp_path / "work", 2))


def test_a_node_that_is_not_like_this_machine_is_found_out(samples: list[Sample], tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"does not see .*folder that all nodes share"):
        embedding._prepare(HASHED, ("hashed", "1-64-apart"), tmp_path / "elsewhere", 2)
    plan.write(tmp_path / plan.NAME, [[("a", "text", None)]])
    with pytest.raises(ClusterError, match=r"revision 1-64-apart.*same camml"):
        embedding._prepare(HASHED, ("hashed", "1-32-apart"), tmp_path, 2)
    unseen = [[1, "no such image", False]]
    with pytest.raises(ClusterError, match=r"does not see .*1\.png"):
        embedding._report(samples, unseen, lambda sample, error: None)


def test_nothing_to_embed_needs_no_cluster(tmp_path: Path) -> None:
    assert list(RayEmbedding(HASHED, Cluster("nowhere:1"))([], HASHED(), tmp_path / "work", 4)) == []
