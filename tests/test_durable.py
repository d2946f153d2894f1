"""A file is whole or absent."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from camml import durable
from camml.errors import DiskError, OptionError


def test_the_content_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    durable.write_file(path, b"first")
    durable.write_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    durable.write_file(path, b"first")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="free some space"):
        durable.write_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="nowhere"):
        durable.write_file(tmp_path / "nowhere" / "file", b"")


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_in_the_place_of_a_folder_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(DiskError, match=f"{name}: .*; a file is where a folder is needed; give another place"),
        durable.disk_errors(tmp_path / name),
    ):
        (tmp_path / name).mkdir(exist_ok=True)


def test_a_folder_to_be_filled_holds_nothing_that_is_not_ours(tmp_path: Path) -> None:
    def check() -> None:
        durable.check_unoccupied(tmp_path / "out", "plans", lambda path: path.name == "plan")

    check()
    (tmp_path / "out").mkdir()
    for name in ("plan", ".hidden", f"plan.17-ab{durable.UNFINISHED}"):
        (tmp_path / "out" / name).touch()
    check()
    (tmp_path / "out" / "letter").touch()
    with pytest.raises(OptionError, match="out holds something else than plans, such as 'letter'; give a new or an"):
        check()


def test_two_threads_write_the_same_file(tmp_path: Path) -> None:
    path, start = tmp_path / "file", Barrier(2)
    contents = [bytes([number]) * 300_000 for number in range(2)]

    def write(content: bytes) -> None:
        start.wait(10)
        for _ in range(20):
            durable.write_file(path, content)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, contents))
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]
