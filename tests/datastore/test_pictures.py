"""Copies of pictures: never deleted while a sample or a reader has them, deleted afterwards."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from camml.datastore import Datastore, pictures, readers, verify
from camml.errors import DiskError, EncoderMismatchError, ImageError
from camml.types import Sample
from tests.colors import Colors, picture, sample

READER = """
import sys
from camml.datastore import Datastore
store = Datastore.open(sys.argv[1])
print(len(store), flush=True)
for line in sys.stdin:
    if line == "reload\\n":
        store.reload()
    print(sum(one.image.stat().st_size > 0 for one in store if one.image), flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path, samples: list[Sample]) -> Path:
    Datastore.build(tmp_path / "store", samples, Colors(), copy_images=True)
    return tmp_path / "store"


def copies(folder: Path) -> int:
    return len(list((folder / "images").iterdir()))


@pytest.mark.long
def test_a_process_that_reads_an_older_generation_keeps_its_pictures(folder: Path, tmp_path: Path) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None
    assert reader.stdout is not None

    def ask(words: str) -> int:
        print(words, file=reader.stdin, flush=True)
        return int(reader.stdout.readline()) if reader.stdout else -1

    assert reader.stdout.readline() == "4\n"
    writer = Datastore.open(folder, Colors())
    writer.remove(["r", "g"])
    assert ask("look") == 3
    writer.add([sample("n", "new", picture(tmp_path, "blue"))])
    writer.remove(["y"])
    assert (ask("look"), copies(folder)) == (3, 4)
    assert ask("reload") == 1
    writer.add([])  # the next writer sweeps up
    assert (copies(folder), ask("look")) == (1, 1)
    assert verify(folder) == []
    writer.remove(["n"])
    assert (ask("look"), copies(folder)) == (1, 1)
    reader.send_signal(signal.SIGKILL)
    reader.wait()
    writer.add([])
    assert copies(folder) == 0
    assert len(list(folder.glob(f"*{readers.ENDING}"))) == 1


def test_another_view_in_this_process_keeps_its_pictures_too(folder: Path) -> None:
    view, writer = Datastore.open(folder), Datastore.open(folder, Colors())
    iterator = iter(view)
    writer.remove(["r", "g", "y"])
    assert all(item.image is None or item.image.is_file() for item in iterator)
    view.reload()
    writer.add([])
    assert copies(folder) == 0


def test_what_one_process_has_alone_is_deleted_at_once(folder: Path) -> None:
    writer = Datastore.open(folder)
    writer.remove(["r"])
    assert copies(folder) == 2
    assert not (folder / pictures.NOTE).exists()


def test_what_an_update_replaces_or_removes_is_deleted_at_once(folder: Path, tmp_path: Path) -> None:
    writer = Datastore.open(folder, Colors())
    old = writer["r"].image
    writer.update([sample("r", "now blue", picture(tmp_path, "blue"))])
    assert old is not None
    assert (old.exists(), copies(folder)) == (False, 3)
    writer.update([], ["g", "y"])
    assert copies(folder) == 1
    assert not (folder / pictures.NOTE).exists()


def test_a_picture_of_two_samples_goes_with_the_last(folder: Path, tmp_path: Path) -> None:
    writer = Datastore.open(folder, Colors())
    writer.add([sample("r2", "red again", picture(tmp_path, "red"))])
    writer.remove(["r"])
    assert writer["r2"].image is not None
    assert writer["r2"].image.is_file()
    writer.remove(["r2"])
    assert copies(folder) == 2


def test_other_peoples_files_stay(folder: Path) -> None:
    (folder / "images" / "notes.txt").write_text("mine")
    (folder / "images" / f"{'0' * 64}.png.12.unfinished").write_bytes(b"half")
    (folder / "images" / f"{'0' * 64}.png").write_bytes(b"of a killed writer")
    (folder / pictures.NOTE).touch()
    Datastore.open(folder).remove(["r"])
    assert sorted(path.suffix for path in (folder / "images").iterdir()) == [".png", ".png", ".txt"]


def test_an_addition_that_failed_leaves_no_pictures_for_long(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise DiskError("cannot write: no space")

    writer = Datastore.open(folder, Colors())
    with monkeypatch.context() as patch:
        patch.setattr("camml.datastore.commits._commit", full)
        with pytest.raises(DiskError):
            writer.add([sample("n", "new", picture(tmp_path, "blue"))])
    assert copies(folder) == 4
    writer.add([])
    assert copies(folder) == 3


def test_a_store_without_a_readers_file_opens_and_changes(folder: Path) -> None:
    """One of before there were such files, or copied without its empty files."""
    for path in folder.glob(f"*{readers.ENDING}"):
        path.unlink()
    writer = Datastore.open(folder)
    writer.remove(["r"])
    assert copies(folder) == 2
    assert verify(folder) == []


@pytest.mark.parametrize("refused", ["to open it", "to lock it"])
def test_a_change_is_made_where_nobody_can_tell_who_reads(
    folder: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOLCK if refused == "to lock it" else errno.EACCES, "refused")

    module, name = ("fcntl", "flock") if refused == "to lock it" else ("os", "open")
    real = getattr(readers, module)
    monkeypatch.setattr(readers, module, SimpleNamespace(**{**vars(real), name: refuse}))
    writer = Datastore.open(folder, Colors())
    assert writer.remove(["r"]) == 1
    assert writer.add([sample("n", "new")]) == 1
    assert [item.id for item in Datastore.open(folder)] == ["g", "y", "t", "n"]
    assert copies(folder) == 3, "no picture is deleted that somebody may read"
    monkeypatch.undo()
    Datastore.open(folder).remove(["n"])
    assert copies(folder) == 2


def test_a_picture_that_goes_away_while_it_is_added(tmp_path: Path) -> None:
    class Thief(Colors):
        def embed_images(self, images):  # type: ignore[no-untyped-def]
            (tmp_path / "red.png").unlink(missing_ok=True)
            return super().embed_images(images)

    with pytest.raises(ImageError, match=r"sample 'r': the image .*red\.png went away"):
        Datastore.build(tmp_path / "store", [sample("r", "red", picture(tmp_path, "red"))], Thief(), copy_images=True)


@pytest.mark.parametrize("name", ["a." + "x" * 200, "a.b c", "a.", "a.é", "a.PNG"])
def test_any_ending_can_be_copied(tmp_path: Path, name: str) -> None:
    odd = picture(tmp_path, "red").rename(tmp_path / name)
    store = Datastore.build(tmp_path / "store", [sample("r", "red", odd)], Colors(), copy_images=True)
    assert store["r"].image is not None
    assert pictures.COPY.fullmatch(store["r"].image.name)
    assert verify(tmp_path / "store") == []
    store.remove(["r"])
    assert copies(tmp_path / "store") == 0


def test_a_copy_whose_bytes_changed_is_found(folder: Path) -> None:
    store = Datastore.open(folder)
    image = store["r"].image or Path()
    image.write_bytes(image.read_bytes() + b"x")
    [problem] = verify(folder)
    assert image.name in problem
    assert "'r'" in problem


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_picture_elsewhere_that_is_none_any_more_is_found(
    tmp_path: Path, samples: list[Sample], content: bytes | None
) -> None:
    Datastore.build(tmp_path / "own", samples, Colors())
    image = samples[0].image
    assert image is not None
    image.write_bytes(image.read_bytes()[:20] if content is None else content)
    [problem] = verify(tmp_path / "own")
    assert problem.startswith(f"the picture of sample 'r' cannot be read: {image}: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_reader_needs_no_right_to_write(folder: Path) -> None:
    folder.chmod(0o500)
    try:
        assert len(Datastore.open(folder)) == 4
        with pytest.raises(DiskError, match="writable"):
            Datastore.open(folder).remove(["r"])
    finally:
        folder.chmod(0o700)


def test_a_store_that_was_built_anew_is_read_anew(folder: Path, tmp_path: Path) -> None:
    """Its files have the names of the old ones."""
    view = Datastore.open(folder)
    folder.rename(tmp_path / "old")
    Datastore.build(folder, [sample("z", "green", picture(tmp_path, "green"))], Colors(), copy_images=True)
    view.reload()
    assert [item.id for item in view] == ["z"]
    assert view.vectors(["z"], "text")["z"].tolist() == Colors().embed_texts(["green"])[0].tolist()
    folder.rename(tmp_path / "older")
    Datastore.build(folder, [sample("z", "green")], Colors(revision="2"), copy_images=True)
    with pytest.raises(EncoderMismatchError, match=r"built anew .*open it again"):
        view.reload()
    assert [item.id for item in view] == ["z"]


@pytest.mark.parametrize("copy_images", [True, False])
def test_a_pipe_is_no_picture(tmp_path: Path, copy_images: bool) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=r"'p'.*pipe\.png"):
        Datastore.build(
            tmp_path / "store", [sample("p", "red", tmp_path / "pipe.png")], Colors(), copy_images=copy_images
        )
