"""Manifests of earlier versions, of later ones, and those that are damaged."""

import json
import re
from pathlib import Path

import faiss
import numpy as np
import pytest

from camml.datastore import Datastore, manifest, verify
from camml.durable import digest
from camml.errors import StoreCorruptedError, StoreError, StoreNotFoundError
from camml.types import Sample
from tests.colors import Colors, sample


def as_first_written(folder: Path) -> None:
    """Turn a datastore into what the first version of the format would have written."""
    content = json.loads((folder / "manifest.json").read_text())
    for name in ("checksum", "removed_files", "location", "collection", "fast"):
        del content[name]
    for segment in content["segments"]:
        for name in ("samples", "image", "text"):
            if record := segment[name]:
                del record["modified"]
                path = folder / record["name"]
                if path.suffix == ".index":
                    old = faiss.read_index(str(path))
                    new = faiss.IndexIDMap2(faiss.IndexFlatIP(old.d))
                    new.add_with_ids(old.index.reconstruct_n(0, old.ntotal), faiss.vector_to_array(old.id_map))
                    faiss.write_index(new, str(path))
                    record |= {"bytes": path.stat().st_size, "sha256": digest(path)}
    content |= {"version": 1}
    (folder / "manifest.json").write_text(json.dumps(content | {"checksum": manifest.digest(content)}))


def test_the_first_format_opens_and_goes_on(tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    store = Datastore.build(tmp_path / "store", samples, encoder)
    store.remove(["g"])
    before = [(item, store.vectors([item.id], "text")[item.id].tolist()) for item in store]
    as_first_written(tmp_path / "store")
    opened = Datastore.open(tmp_path / "store", encoder)
    assert [(item, opened.vectors([item.id], "text")[item.id].tolist()) for item in opened] == before
    opened.add([sample("n", "blue")])
    assert [item.id for item in Datastore.open(tmp_path / "store")] == ["r", "y", "t", "n"]
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["version"] == manifest.VERSION
    assert verify(tmp_path / "store") == []
    [context] = opened.search(np.asarray([[0, 0, 1]], np.float32), "text", 2)
    assert {neighbor.sample.id for neighbor in context} == {"t", "n"}


@pytest.mark.parametrize("change", [{"version": manifest.VERSION + 1}, {"format": "another"}])
def test_a_later_format_is_not_opened(tmp_path: Path, change: dict[str, object]) -> None:
    content = {"format": manifest.FORMAT, "version": manifest.VERSION} | change
    (tmp_path / manifest.NAME).write_text(json.dumps(content | {"checksum": manifest.digest(content)}))
    with pytest.raises(StoreError, match="was written by a later version of camml; install that one") as caught:
        manifest.read(tmp_path)
    assert type(caught.value) is StoreError


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not a manifest"),
        ("[]", "it is not a manifest"),
        ('{"format": "camml-datastore"}', "it is not a manifest"),
        ('{"checksum": "0"}', "its checksum is not the one written"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / manifest.NAME).write_text(text)
    with pytest.raises(StoreCorruptedError, match=f"is corrupted: {why}; {re.escape(manifest.REMEDY)}"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"format": "camml-neighbors", "version": 1}', '{"name": "a web page"}'])
def test_a_manifest_of_something_else_is_not_called_corrupted(tmp_path: Path, text: str) -> None:
    (tmp_path / manifest.NAME).write_text(text)
    with pytest.raises(StoreError, match="is the manifest of something else; give the folder of a datastore") as caught:
        manifest.read(tmp_path)
    assert type(caught.value) is StoreError


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="build one with `camml store build`"):
        manifest.read(tmp_path)
    (tmp_path / manifest.NAME).mkdir()
    with pytest.raises(StoreError, match="give a folder that you may read"):
        manifest.read(tmp_path)
