"""Arrays beside a datastore: on disk, seen by other processes, or in memory where no disk takes them."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from camml.datastore.cached import IN_MEMORY, CachedArrays


def array(number: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float16]]":
    return np.full((2, 3), number, np.float16)


@pytest.mark.parametrize("on_disk", [True, False])
def test_what_is_put_is_returned(tmp_path: Path, on_disk: bool) -> None:
    arrays = CachedArrays(tmp_path if on_disk else None, "patches", "encoder 1")
    arrays.put("a", array(1))
    assert len(arrays) == 1
    assert arrays.get(["b"]) == {}
    known = arrays.get(["a", "b", "a"])
    assert known.keys() == {"a"}
    np.testing.assert_array_equal(known["a"], array(1))
    assert (tmp_path / "patches").exists() == on_disk


def test_what_another_process_adds_is_seen(tmp_path: Path) -> None:
    mine, other = (CachedArrays(tmp_path, "patches", "encoder 1") for _ in range(2))
    other.put("a", array(1))
    assert mine.get(["a"]).keys() == {"a"}


def test_what_depends_on_something_else_is_not_seen(tmp_path: Path) -> None:
    CachedArrays(tmp_path, "patches", "encoder 1").put("a", array(1))
    assert CachedArrays(tmp_path, "patches", "encoder 2").get(["a"]) == {}
    assert CachedArrays(tmp_path, "patches", "encoder 1").get(["a"]).keys() == {"a"}


def test_a_disk_that_takes_nothing_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arrays = CachedArrays(tmp_path, "patches", "encoder 1")
    (tmp_path / "patches").write_text("a file where a folder should be")
    for number in range(3):
        arrays.put(str(number), array(number))
    assert arrays.get("012").keys() == {"0", "1", "2"}
    assert caplog.text.count("patches are kept in memory alone") == 1


def test_the_folder_may_be_deleted_in_between(tmp_path: Path) -> None:
    arrays = CachedArrays(tmp_path, "patches", "encoder 1")
    shutil.rmtree(tmp_path / "patches", ignore_errors=True)
    arrays.put("a", array(1))
    assert CachedArrays(tmp_path, "patches", "encoder 1").get(["a"]).keys() == {"a"}


def test_memory_has_a_bound() -> None:
    arrays = CachedArrays(None, "patches", "encoder 1")
    for number in range(IN_MEMORY + 5):
        arrays.put(str(number), array(0))
    assert len(arrays) == IN_MEMORY
    assert arrays.get(["4", "5"]).keys() == {"5"}, "the oldest go first"
