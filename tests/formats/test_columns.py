"""Values of tables whose types Python has not, in Parquet and Arrow."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from camml import formats
from camml.formats._exported import Exported
from camml.types import Sample

DAY = pa.date32()
US_MAX = 2**63 - 1
MAP = pa.map_(pa.string(), pa.string())


def metas(folder: Path, column: Any, ending: str = "parquet") -> list[Any]:
    ids = [str(number) for number in range(len(column))]
    table = pa.table({"id": ids, "text": ids, "x": column})
    path = folder / f"x.{ending}"
    if ending == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    return [sample.meta["x"] for sample in formats.read(path)]


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([19.9, None, 1e-30, 16777215.0], pa.float32(), [19.9, None, 1e-30, 16777215.0]),
        ([float("nan"), float("-inf")], pa.float32(), [None, None]),
        ([np.float16(0.1), np.float16(65504), None], pa.float16(), [0.1, 65504.0, None]),
        ([[0.1, None], None, []], pa.list_(pa.float32()), [[0.1, None], None, []]),
        ([[np.float16(0.1)]], pa.list_(pa.float16()), [[0.1]]),
        ([[0.1, 0.2]], pa.list_(pa.float32(), 2), [[0.1, 0.2]]),
        (
            [{"a": 0.1, "b": {"c": [0.2]}}, None],
            pa.struct([("a", pa.float32()), ("b", pa.struct([("c", pa.large_list(pa.float32()))]))]),
            [{"a": 0.1, "b": {"c": [0.2]}}, None],
        ),
        ([[("a", 0.1)]], pa.map_(pa.string(), pa.float32()), [{"a": 0.1}]),
        ([1 / 3], pa.float64(), [1 / 3]),
    ],
)
def test_short_numbers_are_the_decimals_that_were_meant(
    values: list[Any], kind: Any, expected: list[Any], ending: str, tmp_path: Path
) -> None:
    assert metas(tmp_path, pa.array(values, kind), ending) == expected


def test_categories_of_short_numbers(tmp_path: Path) -> None:
    assert metas(tmp_path, pa.array([0.1, 0.2, None, 0.1], pa.float32()).dictionary_encode()) == [0.1, 0.2, None, 0.1]


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([[("color", "red"), ("size", None)], [], None], MAP, [{"color": "red", "size": None}, {}, None]),
        ([[[("a", "b")], []]], pa.list_(MAP), [[{"a": "b"}, {}]]),
        ([{"m": [("a", "b")]}, None], pa.struct([("m", MAP)]), [{"m": {"a": "b"}}, None]),
        ([[(7, "b")]], pa.map_(pa.int32(), pa.string()), [{"7": "b"}]),
    ],
)
def test_maps_are_objects(values: list[Any], kind: Any, expected: list[Any], ending: str, tmp_path: Path) -> None:
    assert metas(tmp_path, pa.array(values, kind), ending) == expected


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([19000, 4_000_000, None], DAY, ["2022-01-08", "12921-08-18", None]),
        ([-800_000, 2**31 - 1], DAY, ["-0221-09-04", None]),
        ([[19000], [4_000_000]], pa.list_(DAY), [["2022-01-08"], ["12921-08-18"]]),
        ([0, US_MAX], pa.timestamp("us"), ["1970-01-01 00:00:00", None]),
        (
            [0, 400_000_000_000_000],
            pa.timestamp("ms", "UTC"),
            ["1970-01-01 00:00:00+00:00", "14645-06-30 15:06:40.000Z"],
        ),
        ([253_402_300_799_000], pa.timestamp("ms", "Asia/Tokyo"), ["9999-12-31 23:59:59.000Z"]),
        ([0], pa.timestamp("ms", "Nowhere/Town"), ["1970-01-01 00:00:00.000Z"]),
        ([1_700_000_000_123_456_789], pa.timestamp("ns"), ["2023-11-14 22:13:20.123456"]),
        ([[1_700_000_000_123_456_789]], pa.list_(pa.timestamp("ns")), [["2023-11-14 22:13:20.123456"]]),
        ([1_123_456_789], pa.time64("ns"), ["00:00:01.123456"]),
        ([1_123_456_789], pa.duration("ns"), ["0:00:01.123456"]),
        ([1, US_MAX], pa.duration("s"), ["0:00:01", None]),
    ],
)
def test_times_that_python_lacks_cost_no_other_value(
    values: list[Any], kind: Any, expected: list[Any], ending: str, tmp_path: Path
) -> None:
    assert metas(tmp_path, pa.array(values, kind), ending) == expected


def test_days_are_written_as_before(tmp_path: Path) -> None:
    assert metas(tmp_path, pa.array([date(2024, 2, 29), None])) == ["2024-02-29", None]


def test_text_that_is_not_utf_8_costs_its_row_alone(tmp_path: Path) -> None:
    letters = pa.array([b"a", b"\xff", b"b"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, letters.buffers())
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": ["1", "2", "3"], "text": text}), path)
    assert list(formats.read(path, on_bad="skip")) == [Sample("1", "a"), Sample("3", "b")]
    pq.write_table(pa.table({"id": ["1", "2", "3"], "text": ["a", "b", "c"], "x": text}), path)
    assert [sample.meta for sample in formats.read(path)] == [{"x": "a"}, {}, {"x": "b"}]


def test_vectors_of_an_export_are_not_read(tmp_path: Path) -> None:
    table = pa.table({"id": ["a"], "text": ["x"], "v": pa.array([[0.1]], pa.list_(pa.float32())), "n": [1]})
    pq.write_table(table.replace_schema_metadata(Exported({"n": "n"}, [], ["v"]).as_metadata()), tmp_path / "x.parquet")
    assert list(formats.read(tmp_path / "x.parquet")) == [Sample("a", "x", None, {"n": 1})]
