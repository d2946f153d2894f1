"""Published pairs of a FAISS file and a JSON, and datastores by name."""

import json
import shutil
from pathlib import Path

import faiss
import numpy as np
import pytest

from camml import encoders, weights
from camml.datastore import (
    Datastore,
    check_pictures,
    missing_pictures,
    official_pair,
    open_official,
    open_store,
)
from camml.errors import EmptyStoreError, EncoderMismatchError, StoreError, StoreNotFoundError
from camml.types import Sample
from tests.colors import Colors, picture


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Five entries; the third has no image; texts are strings and lists; an id is there twice."""
    for color in ("red", "green", "blue", "yellow"):
        picture(tmp_path / "coco", color)
    entries = [
        {"id": "1", "image": "coco/red.png", "text": "red"},
        {"id": "2", "image": "coco/green.png", "text": ["What is it?", "green"]},
        {"id": "3", "text": "no picture"},
        {"id": "1", "image": "coco/blue.png", "text": "blue"},
        {"id": "5", "image": "coco/yellow.png", "text": ["yellow"]},
    ]
    (tmp_path / "data.json").write_text(json.dumps(entries))
    index = faiss.IndexFlatIP(3)
    vectors = np.eye(3, dtype=np.float32)
    index.add(np.concatenate([vectors, [[0.5**0.5, 0.5**0.5, 0]]]).astype(np.float32))
    faiss.write_index(index, str(tmp_path / "flat.index"))
    return tmp_path / "flat.index", tmp_path / "data.json"


def test_rows_are_the_entries_with_an_image(pair: tuple[Path, Path], encoder: Colors) -> None:
    store = open_official(*pair)
    assert (len(store), store.count("image"), store.count("text")) == (5, 4, 0)
    assert store.manifest.encoder.name == "imagebind"
    [blue, green] = store.search(encoder.embed_texts(["blue", "green"]), "image", 2)
    assert blue[0].sample.text == "blue"
    assert blue[0].sample.image == pair[1].parent / "coco" / "blue.png"
    assert [neighbor.sample.id for neighbor in green] == ["2", "5"]
    assert "What is it?" in green[0].sample.text
    assert "green" in green[0].sample.text
    assert store.vectors(["5"], "image")["5"].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0])
    with pytest.raises(EmptyStoreError, match="holds no texts"):
        store.search(encoder.embed_texts(["blue"]), "text", 2)
    for change in (lambda: store.add([]), lambda: store.remove(["1"])):
        with pytest.raises(StoreError, match="only be read"):
            change()


def test_what_does_not_belong_together(pair: tuple[Path, Path], tmp_path: Path) -> None:
    faiss.write_index(faiss.IndexFlatIP(3), str(tmp_path / "other.index"))
    with pytest.raises(StoreError, match=r"other\.index has 0 rows and .*data\.json has 4 entries with an image"):
        open_official(tmp_path / "other.index", pair[1])
    with pytest.raises(StoreNotFoundError, match=r"absent\.index"):
        open_official(tmp_path / "absent.index", pair[1])


def test_names_of_datastores(pair: tuple[Path, Path], tmp_path: Path) -> None:
    assert official_pair(f"{pair[0]}:{pair[1]}") == pair
    assert official_pair(str(tmp_path / "store")) is None
    (tmp_path / "odd:name").mkdir()
    assert official_pair(str(tmp_path / "odd:name")) is None


def test_the_encoder_comes_from_the_manifest(
    tmp_path: Path, pair: tuple[Path, Path], samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[str, dict[str, object]]] = []

    def load(name: str, **options: object) -> Colors:
        loaded.append((name, options))
        return Colors(revision=str(options.get("size", name)))

    monkeypatch.setattr(encoders, "load", load)
    Datastore.build(tmp_path / "store", samples, Colors(revision="7"), encoder_options={"size": 7})
    store, encoder = open_store(str(tmp_path / "store"))
    assert loaded.pop() == ("colors", {"size": 7})
    assert store.encoder is encoder
    open_store(str(tmp_path / "store"), "colors")
    assert loaded.pop() == ("colors", {"size": 7})
    for name, options in (("dual", None), ("colors", {"size": 8})):
        with pytest.raises(EncoderMismatchError):
            open_store(str(tmp_path / "store"), name, options)
    loaded.clear()
    store, _ = open_store(f"{pair[0]}:{pair[1]}")
    assert len(store) == 5
    assert loaded == [("imagebind", {})]
    with pytest.raises(StoreNotFoundError):
        open_store(str(tmp_path / "nowhere"))


class TestPictures:
    """Where they are looked for, and what is said where they are not."""

    NAMES = tuple(f"data/llava/llava_665k/coco/train2017/{n}.jpg" for n in range(6))

    @pytest.fixture
    def published(self, tmp_path: Path) -> tuple[Path, Path]:
        """A pair in `data/` that names its pictures from the folder above, as the published one does."""
        root = tmp_path / "camml"
        for name in self.NAMES:
            picture((root / name).parent, "red").rename(root / name)
        entries = [{"id": str(n), "image": name, "text": ["Is it red?", "yes"]} for n, name in enumerate(self.NAMES)]
        (root / "data" / "memory.json").write_text(json.dumps(entries))
        index = faiss.IndexFlatIP(3)
        index.add(np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]])
        faiss.write_index(index, str(root / "data" / "flat.index"))
        return root / "data" / "flat.index", root / "data" / "memory.json"

    def paths(self, store: Datastore) -> set[Path]:
        return {sample.image for sample in store}

    @pytest.mark.parametrize("given", [None, ".", "data", "data/llava/llava_665k"])
    def test_they_are_found_from_the_folder_above(self, published, given: str | None) -> None:
        root = published[1].parents[1]
        store = open_official(*published, images=None if given is None else root / given)
        assert self.paths(store) == {root / name for name in self.NAMES}

    def test_relative_paths_in_the_working_directory_do_as_well(self, published, monkeypatch) -> None:
        monkeypatch.chdir(published[1].parents[1])
        store = open_official("data/flat.index", "data/memory.json")
        assert self.paths(store) == {published[1].parents[1] / name for name in self.NAMES}

    def test_a_pair_elsewhere_finds_them_in_the_working_directory(self, published, tmp_path, monkeypatch) -> None:
        root, other = published[1].parents[1], tmp_path / "downloads" / "deep" / "down"
        other.mkdir(parents=True)
        for file in published:
            file.rename(other / file.name)
        with pytest.raises(StoreError, match="none of the 6 looked at is there, such as data/llava") as caught:
            open_official(other / "flat.index", other / "memory.json")
        assert "--store-images DIR" in str(caught.value)
        assert "\n" not in str(caught.value)
        monkeypatch.chdir(root)
        assert self.paths(open_official(other / "flat.index", other / "memory.json")) == {
            root / name for name in self.NAMES
        }

    def test_pictures_that_moved_to_another_disk(self, published, tmp_path) -> None:
        (published[1].parents[1] / "data" / "llava" / "llava_665k").rename(tmp_path / "disk")
        store = open_official(*published, images=tmp_path / "disk")
        assert self.paths(store) == {tmp_path / "disk" / "coco" / "train2017" / f"{n}.jpg" for n in range(6)}

    def test_a_few_that_are_missing_are_said_and_all_are_looked_for_on_request(self, published, caplog) -> None:
        (published[1].parents[1] / self.NAMES[4]).unlink()
        store = open_official(*published)
        assert "1 of the 6 pictures" in caplog.text
        assert [sample.id for sample in missing_pictures(store)] == ["4"]
        name = ":".join(map(str, published))
        with pytest.raises(StoreError, match=r"1 pictures of .* are not there, such as .*4\.jpg"):
            check_pictures(name, store)
        check_pictures(name, store, "none")

    def test_none_are_looked_for_where_only_texts_are_wanted(self, published, caplog) -> None:
        for name in self.NAMES:
            (published[1].parents[1] / name).unlink()
        assert len(open_official(*published, images="none")) == 6
        assert not caplog.text

    def test_it_is_said_before_the_encoder_is_loaded(self, published, monkeypatch) -> None:
        for name in self.NAMES:
            (published[1].parents[1] / name).unlink()
        monkeypatch.setattr(encoders, "load", lambda *_, **__: pytest.fail("it was loaded"))
        with pytest.raises(StoreError, match="none of the 6"):
            open_store(":".join(map(str, published)))

    def test_another_encoder_is_refused_with_the_flag(self, published) -> None:
        with pytest.raises(EncoderMismatchError, match=r"have 3 numbers.*hashed.*--encoder"):
            open_official(*published, encoder=encoders.load("hashed"))


@pytest.mark.long
@pytest.mark.weights
def test_maps_of_the_shipped_model_are_found_where_the_package_is_now(tmp_path: Path) -> None:
    """The datastore was built from a clone, or an installation, that is gone."""
    shipped = weights.folder(weights.DEFAULT_MODEL) / "heads.safetensors"
    elsewhere = tmp_path / "clone" / "models" / "heads.safetensors"
    elsewhere.parent.mkdir(parents=True)
    shutil.copy(shipped, elsewhere)
    options = {"heads": str(elsewhere), "dtype": "bfloat16"}
    built = encoders.load("mini", **options)
    Datastore.build(tmp_path / "store", [Sample("a", "A red pump.")], built, encoder_options=options)
    elsewhere.unlink()
    datastore, encoder = open_store(str(tmp_path / "store"))
    assert [sample.id for sample in datastore] == ["a"]
    assert encoder.revision == built.revision
