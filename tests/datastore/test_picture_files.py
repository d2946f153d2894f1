"""Pictures that were replaced after they were indexed: named by a check, and renewed by giving them again."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camml.datastore import Datastore, commits, verify
from camml.datastore.checks import NAMED, unrecorded
from camml.datastore.embedding import embed
from camml.datastore.picture_files import PictureFile, as_column, from_column
from camml.datastore.rows import Rows
from camml.types import Sample
from tests.colors import RGB, Colors, sample

COLORS = ("red", "green", "blue")


def bitmap(path: Path, color: str) -> Path:
    """A picture whose file has the same length whatever its color is."""
    Image.new("RGB", (8, 6), RGB[color]).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Sample]:
    return [sample(color, color, bitmap(tmp_path / f"{color}.bmp", color)) for color in COLORS]


@pytest.fixture
def folder(tmp_path: Path, pictures: list[Sample]) -> Path:
    Datastore.build(tmp_path / "store", [*pictures, sample("t", "no picture")], Colors())
    return tmp_path / "store"


@pytest.fixture
def without_files(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Samples are written as an earlier version wrote them, until this is undone."""

    def write(self: Rows, path: Path) -> None:
        import pyarrow.parquet as pq

        pq.write_table(self.whole().drop_columns(["file"]), path)

    monkeypatch.setattr(Rows, "write", write)
    return monkeypatch


def later(path: Path) -> None:
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))


@pytest.mark.parametrize("same_length", [True, False])
def test_one_that_was_replaced_is_named_until_it_is_given_again(
    folder: Path, pictures: list[Sample], tmp_path: Path, same_length: bool
) -> None:
    assert verify(folder) == verify(folder, decode=True) == []
    if same_length:
        later(bitmap(tmp_path / "red.bmp", "blue"))
    else:
        Image.new("RGB", (9, 9), RGB["blue"]).save(tmp_path / "red.bmp")
    [problem] = verify(folder)
    assert verify(folder, decode=True) == [problem]
    assert problem.startswith("pictures replaced since they were indexed: 1, of the samples 'red' (")
    assert f"`camml store add SOURCE --upsert --store {folder}`" in problem
    store = Datastore.open(folder, Colors())
    store.update(pictures)
    vectors = store.vectors(["red", "blue"], "image")
    assert np.array_equal(vectors["red"], vectors["blue"])
    assert verify(folder) == []


def test_a_file_that_was_copied_or_touched_is_the_same(folder: Path, tmp_path: Path) -> None:
    later(tmp_path / "red.bmp")
    shutil.copyfile(tmp_path / "green.bmp", tmp_path / "copy.bmp")
    (tmp_path / "copy.bmp").replace(tmp_path / "green.bmp")
    assert verify(folder) == []


def test_another_one_of_the_same_length_and_time_is_found_by_reading_all(folder: Path, tmp_path: Path) -> None:
    facts = (tmp_path / "red.bmp").stat()
    bitmap(tmp_path / "red.bmp", "blue")
    os.utime(tmp_path / "red.bmp", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert verify(folder) == []
    assert "'red'" in verify(folder, decode=True)[0]


def test_of_many_a_few_are_named(tmp_path: Path) -> None:
    path = bitmap(tmp_path / "one.bmp", "red")
    Datastore.build(tmp_path / "store", [sample(f"n{n}", "red", path) for n in range(NAMED + 2)], Colors())
    later(bitmap(path, "green"))
    [problem] = verify(tmp_path / "store")
    assert f"indexed: {NAMED + 2}, of" in problem
    assert "'n4' (" in problem
    assert "'n5'" not in problem
    assert " and 2 more; " in problem


def test_a_datastore_of_an_earlier_version_works_and_says_nothing(
    without_files: pytest.MonkeyPatch, pictures: list[Sample], tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    Datastore.build(folder, pictures, Colors())
    without_files.undo()
    later(bitmap(tmp_path / "red.bmp", "blue"))
    assert verify(folder, decode=True) == []
    assert unrecorded(folder) == 3
    store = Datastore.open(folder, Colors())
    assert [item.id for item in store] == [*COLORS]
    without_files.setattr(commits, "MOST_SEGMENTS", 2)  # so that old and new ones are joined in a file
    for n in range(3):
        store.add([sample(f"n{n}", "new", bitmap(tmp_path / f"n{n}.bmp", "green"))])
    assert len(store.manifest.segments) < 4
    assert unrecorded(folder) == 3
    later(bitmap(tmp_path / "n0.bmp", "blue"))
    assert ["'n0'" in problem for problem in verify(folder)] == [True]
    store.update([*pictures, sample("n0", "new", tmp_path / "n0.bmp")])
    assert (unrecorded(folder), verify(folder)) == (0, [])


def test_copies_tell_by_their_names(pictures: list[Sample], tmp_path: Path) -> None:
    Datastore.build(tmp_path / "store", pictures, Colors(), copy_images=True)
    later(bitmap(tmp_path / "red.bmp", "blue"))
    assert verify(tmp_path / "store", decode=True) == []
    assert unrecorded(tmp_path / "store") == 0


def test_a_build_that_goes_on_notes_them_too(pictures: list[Sample], tmp_path: Path) -> None:
    given = [*pictures, sample("t", "no picture")]
    [first], [again] = (list(embed(given, Colors(), tmp_path / "work", 3)) for _ in range(2))
    assert first.files == again.files == [*(PictureFile.of(item.image) for item in pictures if item.image), None]


def test_a_column_gives_back_what_it_was_given(tmp_path: Path) -> None:
    files = [PictureFile.of(bitmap(tmp_path / "red.bmp", "red")), None]
    assert from_column(as_column(files)) == files
    assert from_column(as_column([])) == []
