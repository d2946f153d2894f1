"""Build, open, search, add, remove."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from camml.datastore import Datastore, read_manifest, verify
from camml.datastore.files import only_writer
from camml.datastore.table import FILTERS
from camml.encoders import hashed, load
from camml.errors import (
    DiskError,
    EmptyStoreError,
    EncoderMismatchError,
    ImageError,
    InputError,
    OptionError,
    SampleError,
    StoreCorruptedError,
    StoreError,
    StoreLockedError,
    StoreNotFoundError,
    UnknownNameError,
)
from camml.types import Sample
from tests.colors import Colors, picture, sample


@pytest.fixture
def store(tmp_path: Path, samples: list[Sample], encoder: Colors) -> Datastore:
    return Datastore.build(tmp_path / "store", samples, encoder)


def nearest_ids(store: Datastore, words: str, modality: str, k: int = 4, **options: object) -> list[str]:
    [context] = store.search(Colors().embed_texts([words]), modality, k, **options)  # type: ignore[arg-type]
    return [neighbor.sample.id for neighbor in context]


def content(store: Datastore) -> dict[str, tuple[Sample, list[float] | None, list[float]]]:
    """All that a datastore holds, in plain values."""
    ids = [item.id for item in store]
    images, texts = store.vectors(ids, "image"), store.vectors(ids, "text")
    return {
        item.id: (item, images[item.id].tolist() if item.id in images else None, texts[item.id].tolist())
        for item in store
    }


def test_what_was_built_is_what_opens(store: Datastore, samples: list[Sample]) -> None:
    opened = Datastore.open(store.path or "")
    assert list(opened) == samples
    assert content(opened) == content(store)
    assert opened.manifest == store.manifest
    assert (len(opened), opened.count("image"), opened.count("text")) == (4, 3, 4)
    assert opened.manifest.counts == {"samples": 4, "image": 3, "text": 4}
    assert "r" in opened
    assert "x" not in opened
    assert opened["y"] == samples[2]
    with pytest.raises(KeyError):
        opened["x"]


@pytest.mark.parametrize("kind", ["memory", "faiss_index"])
def test_search_by_modality(tmp_path: Path, samples: list[Sample], encoder: Colors, kind: str) -> None:
    store = Datastore.build(tmp_path / "store", samples, encoder, store=kind, batch_size=1)
    assert nearest_ids(store, "green", "image", 2) == ["g", "y"]
    assert nearest_ids(store, "blue", "text", 1) == ["t"]
    [context] = store.search(encoder.embed_texts(["red"]), "image", 9)
    assert [neighbor.sample.id for neighbor in context] == ["r", "y", "g"]
    assert context[0].score == pytest.approx(1, abs=1e-5)
    assert context[1].score == pytest.approx(0.5**0.5, abs=2e-3)


def test_search_of_a_batch_is_that_of_each(store: Datastore, encoder: Colors) -> None:
    queries = encoder.embed_texts(["red", "green green blue", "blue"])
    assert store.search(queries, "text", 3) == [store.search(query[None], "text", 3)[0] for query in queries]
    assert store.search(np.empty((0, 3), dtype=np.float32), "text", 3) == []


def test_metadata_filter(store: Datastore) -> None:
    assert nearest_ids(store, "red", "image", where={"kind": "pure"}) == ["r", "g"]
    assert nearest_ids(store, "red", "image", where={"kind": "pure", "number": "1"}) == ["r"]
    assert nearest_ids(store, "red", "text", where={"tags": "leaf"}) == ["g"]
    assert nearest_ids(store, "red", "text", where={"kind": "other"}) == []
    assert nearest_ids(store, "red", "text", where=lambda item: item.image is None) == ["t"]
    with pytest.raises(OptionError, match=r"'sort'.*kind, number, tags"):
        nearest_ids(store, "red", "text", where={"sort": "pure"})


def test_ever_new_filters_take_no_memory(store: Datastore) -> None:
    for number in range(200):
        nearest_ids(store, "red", "text", where={"number": number})
    assert nearest_ids(store, "red", "text", where={"number": 1}) == ["r"]
    assert len(store._snapshot.table._chosen) <= FILTERS


def test_bad_searches(store: Datastore) -> None:
    with pytest.raises(OptionError, match="at least 1, not 0"):
        nearest_ids(store, "red", "text", 0)
    with pytest.raises(EncoderMismatchError, match=r"width 3.*\(1, 5\).*'colors'"):
        store.search(np.zeros((1, 5), dtype=np.float32), "text", 1)


def test_an_empty_store_opens_and_says_so(tmp_path: Path, encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "store", [], encoder)
    assert list(Datastore.open(tmp_path / "store")) == []
    with pytest.raises(EmptyStoreError, match=r"holds no samples.*camml store add"):
        nearest_ids(store, "red", "text")
    assert store.add([sample("t", "blue")]) == 1
    assert nearest_ids(store, "red", "text") == ["t"]
    with pytest.raises(EmptyStoreError, match="holds no images"):
        nearest_ids(store, "red", "image")


def test_add_and_remove_keep_ids_and_never_reuse_keys(store: Datastore, tmp_path: Path) -> None:
    assert store.add([sample("b", "blue blue", picture(tmp_path, "blue")), sample("c", "green blue")]) == 2
    assert nearest_ids(store, "blue", "image", 1) == ["b"]
    assert store.remove(["b", "r"]) == 2
    assert [item.id for item in store] == ["g", "y", "t", "c"]
    assert nearest_ids(store, "red", "image", 1) == ["y"]
    assert store.manifest.next_key == 6
    store.add([sample("b", "blue")])
    assert store.manifest.next_key == 7
    assert store.remove([]) == 0
    opened = Datastore.open(store.path or "")
    assert content(opened) == content(store)
    assert opened.manifest.counts == {"samples": 5, "image": 2, "text": 5}
    assert verify(store.path or Path()) == []


def test_removing_all_and_starting_again(store: Datastore) -> None:
    store.remove([item.id for item in store])
    assert len(store) == 0
    assert store.manifest.files == []
    store.add([sample("n", "blue")])
    assert nearest_ids(store, "blue", "text") == ["n"]
    assert store.manifest.next_key == 5


@pytest.mark.long
def test_many_additions_are_merged_and_mean_the_same(store: Datastore, tmp_path: Path, encoder: Colors) -> None:
    words = ["red", "green", "blue"]
    more = [
        sample(f"n{n}", f"{words[n % 3]} {words[n % 2]} number {n}", picture(tmp_path, "purple") if n % 2 else None)
        for n in range(40)
    ]
    for row in more:
        store.add([row])
    assert len(store.manifest.segments) <= 17
    store.remove([f"n{n}" for n in range(0, 30, 3)])
    at_once = Datastore.build(tmp_path / "other", [*list(store)], encoder)
    assert content(Datastore.open(store.path or "")) == content(at_once)
    assert nearest_ids(store, "green", "text", 60) == nearest_ids(at_once, "green", "text", 60)
    leftover = {path.name for path in (store.path or Path()).iterdir()}
    store.add([])  # a writer sweeps up
    swept = leftover - {path.name for path in (store.path or Path()).iterdir()}
    assert all(name[0].isdigit() for name in swept)
    assert verify(store.path or Path()) == []


def test_two_views_of_one_store(store: Datastore, encoder: Colors) -> None:
    other = Datastore.open(store.path or "", encoder)
    store.add([sample("n", "blue")])
    assert "n" not in other
    other.remove(["r"])  # a writer starts from what is there now
    assert "n" in other
    assert "r" in store
    store.reload()
    assert "r" not in store
    assert [item.id for item in store] == [item.id for item in other]


@pytest.mark.parametrize(
    "name",
    ["at 3.14.15\u202fPM", "v\u00a013", "می\u200cخواهم", "東京\u3000駅", "👩\u200d🔬", "\U0001fae9", "\ue000", " a"],
)
def test_ids_of_every_script_are_kept_and_found(name: str, tmp_path: Path, encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "store", [sample(name, "red"), sample("other", "blue")], encoder)
    assert name in store
    assert Datastore.open(tmp_path / "store", encoder)[name].text == "red"
    assert "half \ud800" not in store
    store.remove([name])
    assert [item.id for item in store] == ["other"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (sample("r", "again"), "id 'r'.*twice, the first time as sample 1"),
        (sample("a/b", "text"), "id 'a/b'.*slash"),
        (sample("", "text"), "id ''.*empty"),
        (sample("a\nb", "text"), "unprintable"),
        (sample("a\u2028b", "text"), "unprintable"),
        (sample("a\ud800b", "text"), "unprintable"),
        (sample(" \u3000", "text"), "empty"),
        (sample("e", " \n"), "id 'e'.*no text"),
        (sample("s", "half \ud800"), "id 's'.*not valid Unicode"),
        (sample("m", "text", None, {"x": object()}), "id 'm'.*not JSON"),
    ],
)
def test_samples_that_cannot_be_stored(
    tmp_path: Path, samples: list[Sample], encoder: Colors, bad: Sample, message: str
) -> None:
    with pytest.raises(SampleError, match=f"sample 5 of the input .*{message}"):
        Datastore.build(tmp_path / "store", [*samples, bad], encoder)
    assert encoder.calls == []
    assert not (tmp_path / "store").exists()
    reasons: dict[str, InputError] = {}
    store = Datastore.build(
        tmp_path / "store", [*samples, bad], encoder, on_bad=lambda item, why: reasons.update({item.id: why})
    )
    assert list(store) == samples
    assert list(reasons) == [bad.id]


def test_an_id_that_the_store_has(store: Datastore) -> None:
    before = store.manifest
    with pytest.raises(SampleError, match=r"sample 2 .*id 'g'.*already, in row 2"):
        store.add([sample("n", "new"), sample("g", "again")])
    assert read_manifest(store.path or Path()) == before


def test_bad_images(tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    bad = [sample("b", "bad", tmp_path / "bad.png"), sample("m", "missing", tmp_path / "missing.png")]
    for item in bad:
        with pytest.raises(ImageError, match=rf"'{item.id}'.*{item.image}"):
            Datastore.build(tmp_path / "store", [item, *samples], encoder)
    reasons: list[str] = []
    mixed = [bad[0], *samples[:2], bad[1], *samples[2:]]
    for _ in range(2):  # the second time from kept chunks
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        store = Datastore.build(
            tmp_path / "new", mixed, encoder, on_bad=lambda item, why: reasons.append(item.id), batch_size=3
        )
    assert list(store) == samples
    assert reasons == ["b", "m"] * 2
    assert nearest_ids(store, "green", "image", 1) == ["g"]
    assert nearest_ids(store, "blue", "text", 1) == ["t"]


def test_paths_move_with_the_pictures(tmp_path: Path, encoder: Colors) -> None:
    home = tmp_path / "home"
    Datastore.build(home / "store", [sample("r", "red", picture(home / "pictures", "red"))], encoder)
    home.rename(tmp_path / "away")
    moved = Datastore.open(tmp_path / "away" / "store")
    assert moved["r"].image == tmp_path / "away" / "pictures" / "red.png"
    assert verify(tmp_path / "away" / "store") == []
    (tmp_path / "away" / "pictures").rename(tmp_path / "elsewhere")
    assert verify(tmp_path / "away" / "store") != []


def test_images_under_another_root(tmp_path: Path, encoder: Colors) -> None:
    single = sample("r", "red", picture(tmp_path / "far" / "pictures", "red"))
    path = tmp_path / "deep" / "er" / "store"
    Datastore.build(path, [single], encoder, images=tmp_path / "far")
    (tmp_path / "far").rename(tmp_path / "gone")
    assert Datastore.open(path)["r"].image == single.image
    again = Datastore.open(path, images=tmp_path / "gone")
    assert again["r"].image == tmp_path / "gone" / "pictures" / "red.png"


def test_copied_images(tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "store", samples, encoder, copy_images=True)
    shutil.rmtree(tmp_path / "pictures")
    (tmp_path / "store").rename(tmp_path / "moved")
    store = Datastore.open(tmp_path / "moved", encoder)
    assert verify(tmp_path / "moved") == []
    image = store["r"].image
    assert image is not None
    assert image.is_relative_to(tmp_path / "moved")
    store.add([sample("r2", "red again", picture(tmp_path, "red")), sample("p", "pink", picture(tmp_path, "pink"))])
    assert store["r2"].image == image
    assert len(list((tmp_path / "moved" / "images").glob("*"))) == 4
    store.remove(["r", "g", "p", "t"])
    assert len(list((tmp_path / "moved" / "images").glob("*"))) == 2  # red and yellow


def test_another_encoder_is_refused(store: Datastore) -> None:
    with pytest.raises(EncoderMismatchError, match=r"'colors' \(revision 1\).*'colors' \(revision 2\)"):
        Datastore.open(store.path or "", Colors(revision="2"))
    other = Datastore.open(store.path or "")
    with pytest.raises(OptionError, match="without its encoder"):
        other.add([sample("n", "new")])


def test_places_that_are_no_place_for_it(
    store: Datastore, samples: list[Sample], encoder: Colors, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="already"):
        Datastore.build(store.path or "", samples, encoder)
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "pictures" / "red.png"):
        with pytest.raises(StoreNotFoundError, match="camml store build"):
            Datastore.open(path)
    with pytest.raises(DiskError):
        Datastore.build(tmp_path / "pictures" / "red.png" / "store", samples, encoder)
    with pytest.raises(UnknownNameError):
        Datastore.build(tmp_path / "new", samples, encoder, store="tape")
    with pytest.raises(OptionError, match="batch size"):
        Datastore.build(tmp_path / "new", samples, encoder, batch_size=0)


def test_a_second_writer_is_named_the_first(store: Datastore) -> None:
    before = content(store)
    with only_writer(store.path or Path()):
        for write in (lambda: store.add([sample("n", "new")]), lambda: store.remove(["r"])):
            with pytest.raises(StoreLockedError, match=f"process {os.getpid()} is writing"):
                write()
        assert content(Datastore.open(store.path or "")) == before  # reading goes on
    store.remove(["r"])


@pytest.mark.long
def test_every_flipped_byte_is_noticed(store: Datastore) -> None:
    folder = store.path or Path()
    files = [folder / record.name for record in store.manifest.files] + [folder / "manifest.json"]
    random = np.random.default_rng(0)
    for file in files:
        intact, later = file.read_bytes(), file.stat().st_mtime_ns + 10**9
        for place in {0, len(intact) - 1, *random.integers(0, len(intact), 40).tolist()}:
            damaged = bytearray(intact)
            damaged[place] ^= 1 << int(random.integers(0, 8))
            file.write_bytes(damaged)
            os.utime(file, ns=(later, later))  # the clock of a file system may stand still between two writes
            with pytest.raises(StoreCorruptedError, match=file.name.replace(".", r"\.")):
                Datastore.open(folder)
        for shorter in (b"", intact[:-2]):
            file.write_bytes(shorter)
            with pytest.raises(StoreCorruptedError, match=file.name.replace(".", r"\.")):
                Datastore.open(folder)
        if file.suffix != ".json":
            assert any(file.name in problem for problem in verify(folder))
            file.unlink()
            with pytest.raises(StoreCorruptedError, match=rf"{file.name} is missing"):
                Datastore.open(folder)
            assert any(file.name in problem for problem in verify(folder))
        file.write_bytes(intact)
    assert content(Datastore.open(folder)) == content(store)


def test_a_later_format_is_refused(store: Datastore) -> None:
    from camml.datastore import manifest

    path = (store.path or Path()) / "manifest.json"
    later = json.loads(path.read_text()) | {"version": 99}
    later.pop("checksum")
    later["checksum"] = manifest.digest(later)
    path.write_text(json.dumps(later))
    with pytest.raises(StoreError, match="later version"):
        Datastore.open(path.parent)


def test_a_full_disk_leaves_the_old_state(store: Datastore, tmp_path: Path) -> None:
    before = content(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    many = [sample(f"n{n}", f"red {n} " + "blue " * (n % 7)) for n in range(300)]
    try:
        for limit in (0, 100, 1000, 5000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            with pytest.raises(DiskError, match=r"cannot write .*free some space"):
                store.add(many)
            if limit < 1000:
                with pytest.raises(DiskError, match=r"manifest\.json"):
                    store.remove(["r"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content(Datastore.open(store.path or "")) == before
    assert not list((store.path or tmp_path).rglob("*.unfinished"))
    assert store.add(many) == 300


def test_an_interrupted_build_goes_on(tmp_path: Path, encoder: Colors) -> None:
    samples = [sample(f"n{n}", f"red {'blue ' * n}") for n in range(10)]

    class Failing(Colors):
        def embed_texts(self, texts: object) -> object:  # type: ignore[override]
            if len(self.calls) == 3:
                raise RuntimeError("power cut")
            return super().embed_texts(texts)  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match="power cut"):
        Datastore.build(tmp_path / "store", samples, Failing(), batch_size=2)  # type: ignore[arg-type]
    with pytest.raises(StoreNotFoundError):
        Datastore.open(tmp_path / "store")
    progress: list[tuple[int, int]] = []
    store = Datastore.build(
        tmp_path / "store", samples, encoder, batch_size=2, progress=lambda done, total: progress.append((done, total))
    )
    assert encoder.calls == [("text", 2)] * 2  # three of the five chunks were there
    assert progress == [(2, 10), (4, 10), (6, 10), (8, 10), (10, 10)]
    assert list(store) == samples
    assert not (tmp_path / "store" / "work").exists()


def test_kept_chunks_are_of_this_encoder_and_these_pictures(tmp_path: Path) -> None:
    """What was embedded for other weights, or of a file that has changed since, is not taken."""
    image = picture(tmp_path, "red", "changing")
    bad = sample("z", "stops the build", tmp_path / "missing.png")
    samples = [sample("a", "one", image), bad]
    with pytest.raises(ImageError):
        Datastore.build(tmp_path / "store", samples, Colors(revision="old"), batch_size=1)
    picture(tmp_path, "blue", "changing")
    encoder = Colors(revision="old")
    with pytest.raises(ImageError):
        Datastore.build(tmp_path / "store", samples, encoder, batch_size=1)
    assert encoder.calls == [("text", 1), ("image", 1)]
    picture(tmp_path, "green", "missing")
    encoder = Colors(revision="new")
    store = Datastore.build(tmp_path / "store", samples, encoder, batch_size=1)
    assert len(encoder.calls) == 4
    assert nearest_ids(store, "blue", "image", 1) == ["a"]


def test_vectors_that_are_no_unit_vectors(tmp_path: Path, samples: list[Sample]) -> None:
    class Overflowing(Colors):
        def embed_images(self, images: object) -> object:  # type: ignore[override]
            return super().embed_images(images) * np.float32(np.nan)  # type: ignore[arg-type]

    with pytest.raises(StoreError, match="'colors' did not give 3 image vectors"):
        Datastore.build(tmp_path / "store", samples, Overflowing())  # type: ignore[arg-type]


@pytest.mark.parametrize("want", ["true", "True", True])
def test_filters_as_a_command_line_writes_them(tmp_path: Path, encoder: Colors, want: object) -> None:
    samples = [sample("a", "red", None, {"new": True, "n": 1}), sample("b", "red", None, {"new": False})]
    store = Datastore.build(tmp_path / "store", samples, encoder)
    assert nearest_ids(store, "red", "text", where={"new": want}) == ["a"]


def test_folders_that_cannot_be_read_are_named(tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(StoreError, match=r"cannot read .*circle"):
        Datastore.open(tmp_path / "circle")
    for name in ("zero \0", "caf\udce9"):
        for make in (lambda path: Datastore.build(path, samples, encoder), Datastore.open):
            with pytest.raises(StoreError, match="Unicode"):
                make(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circle", "pictures"]


def test_a_file_that_cannot_be_read_is_named(store: Datastore) -> None:
    [file] = (store.path or Path()).glob("*.parquet")
    content = file.read_bytes()
    file.unlink()
    file.symlink_to(file.name)
    with pytest.raises(StoreError, match=rf"cannot read .*{file.name}"):
        Datastore.open(store.path or "")
    file.unlink()
    file.write_bytes(content)
    assert len(Datastore.open(store.path or "")) == 4


def test_a_picture_whose_name_is_not_unicode_is_named(tmp_path: Path, encoder: Colors) -> None:
    with pytest.raises(SampleError, match=r"path is not Unicode: .*udce9.*rename"):
        Datastore.build(tmp_path / "store", [sample("a", "red", tmp_path / "caf\udce9.png")], encoder)


def test_update_replaces_adds_and_removes_in_one_step(store: Datastore, tmp_path: Path) -> None:
    generation = store.manifest.generation
    new = sample("r", "now blue", picture(tmp_path / "pictures", "blue"))
    broken = sample("g", "a broken thing", tmp_path / "nowhere.png")
    refused: list[str] = []
    store.update([new, sample("n", "new")], ["t", "unknown"])
    store.update([broken], on_bad=lambda item, _: refused.append(item.id))
    assert store.manifest.generation >= generation + 1
    assert {item.id: item.text for item in store} == {
        "r": "now blue", "g": "a green thing", "y": "red and green together", "n": "new"
    }  # fmt: skip
    assert (store.manifest.counts["image"], refused, nearest_ids(store, "blue", "image", 1)) == (3, ["g"], ["r"])
    before = {item.id: item.text for item in store}
    with pytest.raises(ImageError):
        store.update([sample("y", "changed"), broken], ["n"])
    store.reload()
    assert {item.id: item.text for item in store} == before


def test_a_text_instead_of_a_list_is_the_id_of_a_sample(tmp_path: Path, encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "digits", [sample(name, "red") for name in ("1", "2", "12", "3")], encoder)
    assert store.remove("12") == 1
    assert [item.id for item in store] == ["1", "2", "3"]
    with pytest.raises(SampleError, match=r"1 of the ids are not in .*: '12'; nothing"):
        store.remove("12")
    store.add([sample("23", "blue")])
    store.update([], "23")
    assert [item.id for item in store] == ["1", "2", "3"]


def test_some_vectors_stand_for_all(tmp_path: Path) -> None:
    """Evenly spaced, always the same ones, of the living samples alone."""
    encoder = hashed.load(64)
    store = Datastore.build(tmp_path / "store", [Sample(f"s{n}", f"text {n}") for n in range(30)], encoder)
    store.add([Sample(f"t{n}", f"more {n}") for n in range(30)])
    store.remove([f"s{n}" for n in range(10)])
    some = store.evenly_spaced_vectors("text", 6)
    living = [sample.id for sample in store]
    places = np.linspace(0, len(living) - 1, 6).astype(int)
    expected = store.vectors([living[place] for place in places], "text")
    np.testing.assert_array_equal(some, np.stack(list(expected.values())))
    assert store.evenly_spaced_vectors("text", 6) is some
    assert len(store.evenly_spaced_vectors("text", 500)) == 50
    assert len(store.evenly_spaced_vectors("image", 6)) == 0
    store.remove(["t0"])
    assert len(store.evenly_spaced_vectors("text", 500)) == 49


@pytest.mark.long
def test_opening_and_searching_import_no_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    Datastore.build(tmp_path / "store", [Sample("a", "one"), Sample("b", "two")], load("hashed"))
    code = (
        "import sys; from camml.datastore import open_store; store, encoder = open_store(sys.argv[1]); "
        "store.search(encoder.embed_texts(['one']), 'text', 1, where=None); assert 'a' in store; store['b']; "
        "print('pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
