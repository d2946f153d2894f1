"""An export in Parquet, built again: the same samples."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from camml import formats
from camml.datastore import Datastore, export
from camml.datastore.syncing import plan
from camml.errors import SampleError
from camml.types import Sample
from tests.colors import Colors, picture


def again(store: Datastore, folder: Path, **options: Any) -> list[Sample]:
    export(store, folder / "out.parquet", **options)
    return list(formats.read(folder / "out.parquet"))


def test_metadata_of_every_kind_comes_back(tmp_path: Path, encoder: Colors) -> None:
    metas: list[dict[str, Any]] = [
        {"tags": ["p", "q"], "size": {"w": 1}, "x": 1, "big": 2**70, "n": 3},
        {"x": "one", "id": "mine", "meta_id": 2, "conversations": "none", "text_vector": "far"},
        {"tags": "p", "x": [None, True], "n": 4},
        {},
    ]
    made = [Sample(str(number), f"red {number}", None, meta) for number, meta in enumerate(metas)]
    store = Datastore.build(tmp_path / "store", made, encoder)
    assert again(store, tmp_path, vectors=True) == made
    rebuilt = Datastore.build(tmp_path / "rebuilt", formats.read(tmp_path / "out.parquet"), encoder)
    [context] = rebuilt.search(encoder.embed_texts(["red"]), "text", 4, where={"tags": "p"})
    assert {neighbor.sample.id for neighbor in context} == {"0", "2"}


@pytest.mark.parametrize("big", [9007199254740993, -(2**62) - 1, 10**400])
def test_whole_numbers_that_no_float_holds_survive_beside_fractions(tmp_path: Path, encoder: Colors, big: int) -> None:
    metas: list[dict[str, Any]] = [{"n": big, "m": 2**53}, {"n": 1.5, "m": 0.5}]
    made = [Sample(str(number), f"red {number}", None, meta) for number, meta in enumerate(metas)]
    store = Datastore.build(tmp_path / "store", made, encoder)
    assert again(store, tmp_path) == made
    export(store, tmp_path / "out.csv")
    assert str(big) in (tmp_path / "out.csv").read_text()


def test_a_picture_alone_comes_back(tmp_path: Path, encoder: Colors) -> None:
    made = [Sample("a", "", picture(tmp_path, "red")), Sample("b", "blue")]
    assert again(Datastore.build(tmp_path / "store", made, encoder), tmp_path) == made


def test_a_rebuilt_datastore_of_a_folder_is_synced_as_before(tmp_path: Path, encoder: Colors) -> None:
    photos = tmp_path / "photos"
    for color in ("red", "blue"):
        picture(photos, color)
    (photos / "red.txt").write_text("a red thing\n")
    store = Datastore.build(tmp_path / "store", formats.read(photos), encoder)
    rebuilt = Datastore.build(tmp_path / "rebuilt", again(store, tmp_path), encoder)
    assert list(rebuilt) == list(store)
    assert plan(rebuilt, photos, None, lambda _: None).unchanged == len(store)


def test_a_table_of_others_is_read_as_it_stands(tmp_path: Path, encoder: Colors) -> None:
    made = [Sample("a", "", picture(tmp_path, "red"), {"tags": ["p"]}), Sample("b", "blue")]
    export(Datastore.build(tmp_path / "store", made, encoder), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet").replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "plain.parquet")
    plain = [Sample("a", "", made[0].image, {"tags": '["p"]'}), Sample("b", "blue", None, {"tags": None})]
    assert list(formats.read(tmp_path / "plain.parquet")) == plain


@pytest.mark.parametrize("ending", [".arrow", ".csv"])
def test_other_exports_give_samples_again(tmp_path: Path, encoder: Colors, ending: str) -> None:
    made = [Sample("a", "", picture(tmp_path, "red")), Sample("b", "blue")]
    out = tmp_path / f"out{ending}"
    export(Datastore.build(tmp_path / "store", made, encoder), out)
    assert list(formats.read(out)) == made


def test_a_changed_export_is_named(tmp_path: Path, encoder: Colors) -> None:
    export(
        Datastore.build(tmp_path / "store", [Sample("a", "red", None, {"t": ["p"]})], encoder), tmp_path / "o.parquet"
    )
    table = pq.read_table(tmp_path / "o.parquet")
    column = table["t"].cast("string").fill_null("").combine_chunks()
    changed = table.set_column(table.schema.get_field_index("t"), "t", [[str(column[0])[:-1]]])
    pq.write_table(changed, tmp_path / "o.parquet")
    with pytest.raises(SampleError, match=r"row 1: its t is text that is not JSON"):
        list(formats.read(tmp_path / "o.parquet"))
