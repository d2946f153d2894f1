"""Parquet: paths, bytes and structs as images; on a disk and on object storage."""

from pathlib import Path
from typing import Any

import fsspec
import pytest

from camml import formats
from camml.errors import SampleError
from camml.images import open_image
from camml.plugins import find
from camml.types import Sample
from tests.colors import picture
from tests.formats.shards import APPLE_DOUBLE, beside, png, table


def rows() -> list[dict[str, Any]]:
    return [
        {
            "id": str(number),
            "text": f"a {color} one",
            "image": {"bytes": png(color), "path": f"{color}.png"},
            "n": number,
        }
        for number, color in enumerate(("red", "blue", "green"))
    ]


def test_images_in_the_table(tmp_path: Path) -> None:
    samples = list(formats.read(table(tmp_path / "x.parquet", rows())))
    assert [sample.text for sample in samples] == ["a red one", "a blue one", "a green one"]
    assert samples[2].meta == {"n": 2}
    assert samples[1].image is not None
    assert open_image(samples[1].image).getpixel((0, 0)) == (0, 0, 255)
    assert samples[1].image.parent == tmp_path / "x.parquet-images"


def test_bare_bytes_and_none(tmp_path: Path) -> None:
    entries = [{"id": 1, "text": "x", "image": png("red")}, {"id": 2, "text": "y", "image": None}]
    first, second = formats.read(table(tmp_path / "x.parquet", entries))
    assert first.image is not None
    assert first.image.suffix == ".png"
    assert second.image is None


def test_paths_start_at_the_file_or_the_folder_given(tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", [{"id": "a", "text": "x", "image": picture(tmp_path, "red").name}])
    assert next(formats.read(path)).image == tmp_path / "red.png"
    assert next(formats.read(path, images=tmp_path / "b")).image == tmp_path / "b" / "red.png"


def test_a_folder_is_read_in_order_and_ids_are_checked_across_files(tmp_path: Path) -> None:
    for number, row in enumerate(rows()):
        table(tmp_path / "parts" / f"{number}.parquet", [row])
    assert [sample.id for sample in formats.read(tmp_path / "parts")] == ["0", "1", "2"]
    table(tmp_path / "parts" / "3.parquet", rows()[:1])
    with pytest.raises(SampleError, match=r"row 1 of 3\.parquet: the id '0' is that of row 1 of 0\.parquet already"):
        list(formats.read(tmp_path / "parts"))


@pytest.mark.parametrize("pattern", ["", "*.parquet", "*", "part-{0..1}.parquet"])
def test_hidden_files_are_no_data(tmp_path: Path, pattern: str) -> None:
    for number in range(2):
        beside(table(tmp_path / f"part-{number}.parquet", [{"id": str(number), "text": "a"}]))
    assert [sample.id for sample in formats.read(f"{tmp_path}/{pattern}", format="parquet")] == ["0", "1"]


@pytest.mark.parametrize("pattern", ["", "/*.parquet"])
def test_hidden_objects_are_no_data(tmp_path: Path, pattern: str) -> None:
    system = fsspec.filesystem("memory")
    data = table(tmp_path / "a.parquet", [{"id": "0", "text": "a"}]).read_bytes()
    system.pipe({"/hidden/a.parquet": data, "/hidden/._a.parquet": APPLE_DOUBLE})
    try:
        result = formats.read(f"memory://hidden{pattern}", format="parquet", images=tmp_path)
        assert [sample.id for sample in result] == ["0"]
    finally:
        system.rm("/hidden", recursive=True)


def test_a_folder_of_hidden_files_holds_no_table(tmp_path: Path) -> None:
    table(tmp_path / ".part.parquet", [{"id": "a", "text": "a"}])
    with pytest.raises(SampleError, match="format cannot be told"):
        list(formats.read(tmp_path))
    assert [sample.id for sample in formats.read(f"{tmp_path}/.*.parquet")] == ["a"]


def test_damage_is_an_error(tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", rows())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SampleError, match="cannot be read as Parquet"):
        list(formats.read(path))
    with pytest.raises(SampleError, match=r"row 1.*has no id"):
        list(formats.read(table(tmp_path / "y.parquet", [{"text": "x"}])))


def test_damage_that_arrow_calls_an_error_of_the_system_is_damage(tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet", [{"id": str(number), "text": "a red one " * 9} for number in range(99)])
    whole = path.read_bytes()
    said: set[str] = set()
    for place in range(4, 60, 4):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            list(formats.read(path))
        except SampleError as error:
            said.add(str(error))
    assert any("cannot be read as Parquet" in line for line in said)
    assert not any("permissions" in line for line in said)


def test_ids_and_texts_may_be_bytes_of_utf_8(tmp_path: Path) -> None:
    """As Spark and Impala write texts."""
    rows = [{"id": b"a", "text": "rød".encode(), "image": None}, {"id": b"b", "text": b"\xff", "image": None}]
    path = table(tmp_path / "x.parquet", rows)
    assert list(formats.read(path, on_bad="skip")) == [Sample("a", "rød")]
    with pytest.raises(SampleError, match=r"row 2: its text is bytes that are not UTF-8; write"):
        list(formats.read(path))
    talks = [{"id": b"a", "conversations": b"[]"}]
    assert next(find("formats", "parquet").entries(table(tmp_path / "y.parquet", talks), tmp_path))[1]["id"] == "a"


def test_tables_in_folders_below_are_read(tmp_path: Path) -> None:
    """As in a snapshot of a dataset of Hugging Face."""
    for number, row in enumerate(rows()):
        table(tmp_path / "hub" / "data" / f"train-{number}.parquet", [row])
    (tmp_path / "hub" / "README.md").write_text("about")
    store = tmp_path / "hub" / "store"
    table(store / "000001-samples.parquet", rows())
    (store / "manifest.json").write_text('{\n "format": "camml-datastore",\n "version": 3\n}')
    assert formats.find_format(tmp_path / "hub") == "parquet"
    assert [sample.id for sample in formats.read(tmp_path / "hub")] == ["0", "1", "2"]
    table(tmp_path / "hub" / "other" / "0.parquet", rows()[:1])
    with pytest.raises(
        SampleError, match=r"row 1 of other/0.parquet: the id '0' is that of row 1 of data/train-0.parq"
    ):
        list(formats.read(tmp_path / "hub"))


def test_folders_of_partitions_are_columns(tmp_path: Path) -> None:
    for year in (2023, 2024):
        table(tmp_path / "t" / f"year={year}" / "site=Bern" / "0.parquet", [{"id": str(year), "text": "a"}])
    metas = [sample.meta for sample in formats.read(tmp_path / "t")]
    assert metas == [{"year": "2023", "site": "Bern"}, {"year": "2024", "site": "Bern"}]
    assert [place for place, _ in find("formats", "parquet").entries(tmp_path / "t", tmp_path)] == [
        f"{tmp_path / 't' / f'year={year}' / 'site=Bern' / '0.parquet'}: row 1" for year in (2023, 2024)
    ]


def test_signs_in_the_names_of_partitions_are_read_as_hive_writes_them(tmp_path: Path) -> None:
    for number, name in enumerate(("city=New%20York%2FNJ", "the%20city=a=b", "city=__HIVE_DEFAULT_PARTITION__")):
        table(tmp_path / "t" / name / "0.parquet", [{"id": str(number), "text": "a"}])
    metas = {sample.id: sample.meta for sample in formats.read(tmp_path / "t")}
    assert metas == {"0": {"city": "New York/NJ"}, "1": {"the city": "a=b"}, "2": {"city": None}}


def test_tables_below_pictures_are_no_dataset(tmp_path: Path) -> None:
    table(tmp_path / "t" / "old" / "0.parquet", rows())
    picture(tmp_path / "t", "red")
    assert formats.find_format(tmp_path / "t") == "folder"


@pytest.mark.long
def test_from_s3(tmp_path: Path, bucket: str) -> None:
    system = fsspec.filesystem("s3")
    for number, row in enumerate(rows()):
        path = table(tmp_path / "local" / f"{number:02}.parquet", [row])
        system.put_file(str(path), f"{bucket}/deep/data/{path.name}")
    local = list(formats.read(tmp_path / "local", images=tmp_path / "images"))
    there = list(formats.read(f"{bucket}/deep/data/{{00..02}}.parquet", images=tmp_path / "images"))
    assert there == local
    with pytest.raises(SampleError, match="no such object"):
        list(formats.read(f"{bucket}/deep/data/{{00..03}}.parquet", images=tmp_path / "images"))
