"""Samples that wait on the disk are those that were read, and only few are in memory."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from camml.datastore import Datastore, embedding, spool
from camml.datastore.places import Places
from camml.datastore.spool import Spool
from camml.datastore.table import Table
from camml.errors import SampleError
from camml.types import Sample
from tests.colors import Colors, picture, sample

EMPTY = Table([], Places(Path()))


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "GROUP", 4)


@pytest.mark.parametrize("count", [0, 3, 4, 11, 12])
def test_it_is_the_list_of_what_was_read(count: int, tmp_path: Path) -> None:
    meta = {"words": ["ä", None], "number": 1.5, "inner": {"a": True}}
    samples = [
        sample(f"n{n}", f"text {n} – ☃\n", tmp_path / f"{n} ü.png" if n % 3 else None, meta if n % 2 else {})
        for n in range(count)
    ]
    kept = Spool(iter(samples), EMPTY, tmp_path / "work")
    assert len(kept) == count
    assert list(kept) == samples
    for start in range(count):
        assert kept[start] == samples[start]
        for stop in range(start, count + 2):
            assert kept[start:stop] == samples[start:stop]
    assert kept[5:2] == []
    with pytest.raises(IndexError):
        kept[count]
    assert not (tmp_path / "work").exists() or not list((tmp_path / "work").iterdir()), "a file has a name"


def test_what_cannot_be_stored_is_found_in_any_group(tmp_path: Path) -> None:
    given = [sample(f"n{n}", "text") for n in range(9)] + [sample("n2", "again"), sample("n9", " "), sample("n10", "x")]
    errors: list[str] = []
    kept = Spool(given, EMPTY, tmp_path, lambda row, error: errors.append(str(error)))
    assert [item.id for item in kept] == [*(f"n{n}" for n in range(9)), "n10"]
    assert "sample 10 of the input (id 'n2') is there twice, the first time as sample 3" in errors[0]
    assert "sample 11 of the input (id 'n9') has no text and no image" in errors[1]
    nothing = Spool([sample(f"n{n}", "") for n in range(9)], EMPTY, tmp_path, lambda row, error: None)
    assert list(nothing) == []
    with pytest.raises(SampleError, match="sample 10"):
        Spool(given, EMPTY, tmp_path)


@pytest.fixture
def earlier_objects_aside() -> Iterator[None]:
    """Lets `gc` look at objects made from now on alone: those of other tests are a million."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.long
def test_a_build_holds_few_samples_and_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, earlier_objects_aside: None
) -> None:
    monkeypatch.setattr(embedding, "PART", 8)
    counts: list[int] = []

    def count() -> None:
        gc.collect()
        counts.append(sum(isinstance(item, Sample) for item in gc.get_objects()))

    def read() -> Iterator[Sample]:
        for number in range(200):
            if number % 20 == 0:
                count()
            yield sample(f"n{number}", f"red {'blue ' * (number % 7)}")

    class Watching(Colors):
        def embed_texts(self, texts):  # type: ignore[no-untyped-def]
            count()
            return super().embed_texts(texts)

    store = Datastore.build(tmp_path / "store", read(), Watching(), batch_size=4)
    assert len(store) == 200
    assert 0 < max(counts) <= 40


def test_a_store_built_in_parts_is_that_built_at_once(
    tmp_path: Path, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [sample(f"n{n}", f"red {'blue ' * n}", picture(tmp_path, "blue") if n % 4 else None) for n in range(20)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    given = [*samples, *more, sample("bad", "green", broken)]
    shown: list[tuple[int, int]] = []
    stores = []
    for part in (embedding.PART, 6):
        monkeypatch.setattr(embedding, "PART", part)
        store = Datastore.build(
            tmp_path / f"store-{part}",
            given,
            Colors(),
            images=tmp_path,
            batch_size=4,
            on_bad=lambda row, error: None,
            progress=lambda done, of: shown.append((done, of)),
        )
        assert store.add([sample(f"m{n}", f"green {n}") for n in range(9)], batch_size=4) == 9
        stores.append(store)
    once, parted = stores
    assert shown == [*[(n, 25) for n in (4, 8, 12, 16, 20, 24, 25)] * 2]
    assert [segment.count for segment in once.manifest.segments] == [24, 9]
    assert [segment.count for segment in parted.manifest.segments] == [8, 8, 8, 8, 1]
    assert parted.manifest.counts == once.manifest.counts
    assert parted.manifest.generation == once.manifest.generation
    assert list(parted) == list(once)
    ids = [item.id for item in once]
    for modality in ("image", "text"):
        vectors, same = once.vectors(ids, modality), parted.vectors(ids, modality)
        assert vectors.keys() == same.keys()
        assert all((vectors[vector] == same[vector]).all() for vector in vectors)
        queries = Colors().embed_texts(["red", "green blue", "blue"])
        assert parted.search(queries, modality, 7) == once.search(queries, modality, 7)


def test_parts_are_made_when_they_are_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedding, "PART", 3)
    encoder = Colors()
    made = embedding.embed([sample(f"n{n}", f"red {n}") for n in range(9)], encoder, tmp_path / "work", 2)
    assert [item.id for item in next(made).samples] == ["n0", "n1", "n2", "n3"]
    assert encoder.calls == [("text", 2)] * 2
    assert [len(part.samples) for part in made] == [4, 1]
