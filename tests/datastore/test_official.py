"""Published pairs of a FAISS file and a JSON, and datastores by name."""

import json
from pathlib import Path

import faiss
import numpy as np
import pytest

from camml import encoders
from camml.datastore import Datastore, official_pair, open_official, open_store
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
