"""After a copy each file is read and compared once, by whoever opens it first."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from camml.datastore import Datastore, checked, files, verify
from camml.errors import DiskError, StoreCorruptedError
from camml.types import Sample
from tests.colors import Colors, sample

Read = Callable[[], list[str]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Read:
    """The names of the files that were read whole since the last call."""
    names: list[str] = []
    digest = files.digest

    def watched(path: Path) -> str:
        names.append(path.name)
        return digest(path)

    def since() -> list[str]:
        before = sorted(names)
        names.clear()
        return before

    monkeypatch.setattr(files, "digest", watched)
    monkeypatch.setenv("CAMML_HOME", str(tmp_path / "cache"))
    return since


@pytest.fixture
def copy(tmp_path: Path, samples: list[Sample]) -> Path:
    """A copy with other times."""
    store = Datastore.build(tmp_path / "store", samples, Colors())
    store.add([sample("n", "new")])
    shutil.copytree(tmp_path / "store", tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy").iterdir():
        os.utime(path, ns=(10**18, 10**18))
    return tmp_path / "copy"


def data(folder: Path) -> list[str]:
    return sorted(record.name for record in Datastore.open(folder).manifest.files)


def test_opening_what_was_built_reads_nothing_whole(tmp_path: Path, samples: list[Sample], read: Read) -> None:
    Datastore.build(tmp_path / "store", samples, Colors())
    read()
    Datastore.open(tmp_path / "store")
    assert read() == []
    assert not (tmp_path / "store" / checked.NOTE).exists()


def test_a_copy_is_read_once(copy: Path, read: Read) -> None:
    read()
    Datastore.open(copy)
    names = read()
    assert len(names) == 5
    for _ in range(2):
        Datastore.open(copy)
    assert read() == []
    assert names == data(copy)


def test_what_changes_after_the_copy_was_read_is_read_again(copy: Path, read: Read) -> None:
    store = Datastore.open(copy, Colors())
    store.add([sample("m", "more")])
    read()
    Datastore.open(copy)
    assert read() == []
    path = copy / data(copy)[0]
    intact = path.read_bytes()
    path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    for _ in range(2):
        with pytest.raises(StoreCorruptedError, match=path.name):
            Datastore.open(copy)
        assert read() == [path.name]
    path.write_bytes(intact)
    Datastore.open(copy)
    Datastore.open(copy)
    assert read() == [path.name]


def test_a_change_that_keeps_length_and_time_is_found_by_verify(copy: Path) -> None:
    """What the docstrings say is not seen when opening."""
    path = copy / data(copy)[-1]
    intact, facts = path.read_bytes(), path.stat()
    path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    Datastore.open(copy)
    [problem] = verify(copy)
    assert path.name in problem


def test_where_nothing_can_be_written_the_cache_remembers(
    copy: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checked.write_file

    def read_only(path: Path, content: bytes) -> None:
        if path.parent == copy:
            raise DiskError("cannot write: read-only")
        write(path, content)

    monkeypatch.setattr(checked, "write_file", read_only)
    read()
    Datastore.open(copy)
    assert len(read()) == 5
    Datastore.open(copy)
    assert read() == []
    assert not (copy / checked.NOTE).exists()
    monkeypatch.setenv("CAMML_HOME", "/proc/none")
    for _ in range(2):  # nowhere: slow, but right
        Datastore.open(copy)
        assert len(read()) == 5


@pytest.mark.parametrize("damage", [b"", b"[1, 2]", b'"text"', b'{"a": {}}', b"\xff\xfe"])
def test_a_damaged_note_is_no_note(copy: Path, read: Read, damage: bytes) -> None:
    (copy / checked.NOTE).write_bytes(damage)
    read()
    Datastore.open(copy)
    assert len(read()) == 5
    Datastore.open(copy)
    assert read() == []


def test_verify_remembers_too(copy: Path, read: Read) -> None:
    assert verify(copy) == []
    assert len(read()) == 5
    Datastore.open(copy)
    assert read() == []
