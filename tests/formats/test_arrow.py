"""Files of Arrow: what `camml store export` writes, Feather, and files of a Hugging Face cache."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pytest

from camml import formats
from camml.errors import SampleError
from camml.formats._exported import Exported
from camml.types import Sample
from tests.formats.shards import png

ROWS = [{"id": "a", "text": "A cat.", "n": 1}, {"id": "b", "text": "A dog.", "n": 2}]
SAMPLES = [Sample("a", "A cat.", None, {"n": 1}), Sample("b", "A dog.", None, {"n": 2})]


def write(path: Path, table: Any, kind: str) -> Path:
    if kind == "feather":
        pyarrow.feather.write_feather(table, str(path))
    else:
        with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(str(path), table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("kind", ["file", "stream", "feather"])
def test_files_and_streams_are_read(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / ("x.feather" if kind == "feather" else "x.arrow"), pa.Table.from_pylist(ROWS), kind)
    assert formats.find_format(path) == "arrow"
    assert list(formats.read(path)) == SAMPLES


def test_an_export_gives_its_samples_again(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "", "image": "/a.png", "tags": '["x"]', "meta_id": None}]
    table = pa.Table.from_pylist(rows).replace_schema_metadata(
        Exported({"tags": "tags", "meta_id": "id"}, ["tags"]).as_metadata()
    )
    path = write(tmp_path / "x.arrow", table, "file")
    assert list(formats.read(path)) == [Sample("a", "", Path("/a.png"), {"tags": ["x"]})]


def test_pictures_in_it_are_written_beside_it(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "x", "image": {"bytes": png("red"), "path": "r.png"}}]
    [sample] = formats.read(write(tmp_path / "x.arrow", pa.Table.from_pylist(rows), "file"))
    assert sample.image is not None
    assert sample.image.parent == tmp_path / "x.arrow-images"


def test_damage_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.arrow", pa.Table.from_pylist(ROWS), "file")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SampleError, match="cannot be read as Arrow"):
        list(formats.read(path))
    path.write_bytes(b"")
    with pytest.raises(SampleError, match="cannot be read as Arrow"):
        list(formats.read(path))
