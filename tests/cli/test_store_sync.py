"""`camml store build` and `sync` with a folder of pictures and PDF files, as a person uses them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from camml.datastore import Datastore, verify
from camml.errors import StoreLockedError
from tests.cli.conftest import Run
from tests.pdf_files import write_pdf

COUNTS = ("added", "updated", "removed", "unchanged")


def picture(path: Path, color: str | tuple[int, int, int] = "red", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), color).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.png", "sub/b.png", "sub/c.png"):
        picture(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture(params=[(), ("--copy-images",)], ids=["where they are", "copied"])
def store(request: pytest.FixtureRequest, photos: Path, tmp_path: Path, run: Run) -> Path:
    code, _, errors = run("build", photos, "--out", tmp_path / "store", "--encoder", "hashed", *request.param)
    assert (code, errors) == (0, "")
    return tmp_path / "store"


def sync(run: Run, photos: Path, store: Path, *options: object) -> tuple[int, ...]:
    code, output, _ = run("sync", photos, "--store", store, "--json", *options)
    assert code == 0
    if "--dry-run" not in options:
        assert [problem for problem in verify(store) if " cannot be read: " not in problem] == []
    report = json.loads(output)
    return tuple(report[name] for name in COUNTS)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_new_changed_or_gone_is_brought_up_to_date_in_one_step(photos: Path, store: Path, run: Run) -> None:
    assert sync(run, photos, store) == (0, 0, 0, 3)
    picture(photos / "new.png", "blue")
    (photos / "a.txt").write_text("A pump.")
    picture(photos / "sub" / "b.png", "yellow", compress_level=0)
    (photos / "sub" / "c.png").unlink()
    before, generation = content(photos), Datastore.open(store).manifest.generation
    assert sync(run, photos, store, "--dry-run") == (1, 2, 1, 0)
    assert len(Datastore.open(store)) == 3
    assert sync(run, photos, store) == (1, 2, 1, 0)
    assert sync(run, photos, store) == (0, 0, 0, 3)
    datastore = Datastore.open(store)
    assert datastore.manifest.generation in (generation + 1, generation + 2)  # the second one tidies up
    assert {sample.id: sample.text for sample in datastore} == {"a.png": "A pump.", "sub:b.png": "b", "new.png": "new"}
    vectors = datastore.vectors(["a.png", "sub:b.png"], "image")
    assert not np.allclose(vectors["a.png"], vectors["sub:b.png"])
    assert content(photos) == before


def test_the_encoder_is_loaded_only_for_changes(
    photos: Path, store: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("camml.encoders.load", loaded)
    monkeypatch.setattr("camml.datastore.open_store", loaded)
    assert sync(run, photos, store) == (0, 0, 0, 3)
    picture(photos / "new.png", "blue")
    assert sync(run, photos, store, "--dry-run") == (1, 0, 0, 3)


def test_it_waits_for_another_writer(photos: Path, store: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    update, tries = Datastore.update, list[object]()

    def busy_at_first(self: Datastore, *given: Any, **options: Any) -> int:
        tries.append(given)
        if len(tries) == 1:
            raise StoreLockedError("process 7 is writing")
        return update(self, *given, **options)

    monkeypatch.setattr(Datastore, "update", busy_at_first)
    picture(photos / "new.png", "blue")
    code, _, errors = run("sync", photos, "--store", store)
    assert (code, len(tries)) == (0, 2)
    assert "process 7 is writing; waiting for up to" in errors
    assert sync(run, photos, store) == (0, 0, 0, 4)


def test_samples_from_elsewhere_stay(photos: Path, store: Path, tmp_path: Path, run: Run) -> None:
    picture(tmp_path / "others" / "photos" / "x.png")
    assert run("add", tmp_path / "others" / "photos", "--store", store)[0] == 0
    assert sync(run, photos, store) == (0, 0, 0, 3)
    assert len(Datastore.open(store)) == 4
    picture(photos / "x.png")
    code, _, errors = run("sync", photos, "--store", store)
    assert (code, errors.count("\n")) == (2, 1)
    assert "the id 'x.png' is that of a sample which did not come from this folder" in errors


def test_a_moved_folder_is_known_when_its_origin_is_said(photos: Path, store: Path, run: Run) -> None:
    origin = Datastore.open(store)["a.png"].meta["origin"]["folder"]
    photos = photos.rename(photos.with_name("moved"))
    assert f"--moved-from '{origin}'" in run("sync", photos, "--store", store)[2]
    assert sync(run, photos, store, "--moved-from", origin) == (0, 3, 0, 0)
    assert sync(run, photos, store) == (0, 0, 0, 3)


def test_what_cannot_be_used_stays_as_it_was_and_is_listed(photos: Path, store: Path, run: Run) -> None:
    (photos / "a.png").write_bytes(b"no picture")
    (photos / "sub" / "b.txt").write_bytes(b"\xff")
    for _ in range(2):
        code, _, errors = run("sync", photos, "--store", store, "--on-bad", "stop")
        assert (code, errors.count("\n")) == (2, 1)
        assert "--on-bad skip" in errors
        assert sync(run, photos, store)[:3] == (0, 0, 0)
    assert len(Datastore.open(store)) == 3
    assert run("sync", photos, "--store", store)[2].count("camml: skipped: ") == 2
    copied = Datastore.open(store).manifest.copies
    assert ["'a.png' cannot be read" in problem for problem in verify(store)] == [True] * (not copied)


def test_texts_stay_where_their_table_can_no_longer_be_read(photos: Path, store: Path, run: Run) -> None:
    names = ("sub/c.png", "a.png", "sub/b.png")
    table = photos / "metadata.csv"
    table.write_text("file_name,text\n" + "".join(f"{name},Text of {name}\n" for name in names))
    assert sync(run, photos, store) == (0, 3, 0, 0)
    good = {name.replace("/", ":"): f"Text of {name}" for name in names}
    table.write_text(table.read_text().replace("Text of a", '"Text of a'))
    assert sync(run, photos, store)[:3] == (0, 0, 0)
    assert {sample.id: sample.text for sample in Datastore.open(store)} == good
    code, _, errors = run("sync", photos, "--store", store, "--on-bad", "stop")
    assert (code, "metadata.csv: line 3: " in errors) == (2, True)


def test_copies_of_what_was_replaced_or_is_gone_are_deleted_at_once(photos: Path, tmp_path: Path, run: Run) -> None:
    for number, name in enumerate(("a.png", "sub/b.png", "sub/c.png")):
        picture(photos / name, (number, 0, 0))
    store, copies = tmp_path / "own", tmp_path / "own" / "images"
    assert run("build", photos, "--out", store, "--encoder", "hashed", "--copy-images")[0] == 0
    before = {path.name for path in copies.iterdir()}
    picture(photos / "a.png", "blue")
    (photos / "sub" / "b.png").unlink()
    assert sync(run, photos, store) == (0, 1, 1, 1)
    after = {path.name for path in copies.iterdir()}
    assert (len(before), len(after), len(after - before)) == (3, 2, 1)
    entry = {"id": "a.png", "text": "red", "image": str(picture(tmp_path / "new.png", "red"))}
    (tmp_path / "new.jsonl").write_text(json.dumps(entry) + "\n")
    assert run("add", tmp_path / "new.jsonl", "--store", store, "--upsert")[0] == 0
    assert len(list(copies.iterdir())) == 2


def test_a_dry_run_lists_what_is_no_picture_as_the_sync_does(photos: Path, store: Path, run: Run) -> None:
    picture(photos / "new.png", "blue")
    (photos / "empty.png").touch()
    (photos / "words.png").write_text("no picture")
    (photos / "dangling.png").symlink_to(photos / "nowhere")
    (photos / "sub" / "b.png").unlink()
    (photos / "sub" / "b.png").symlink_to(photos / "nowhere")
    planned, done = (
        json.loads(run("sync", photos, "--store", store, "--json", *options)[1]) for options in (("--dry-run",), ())
    )
    assert len(planned["skipped"]) == 4
    for name in (*COUNTS, "ids", "skipped"):
        assert planned[name] == done[name]
    assert run("sync", photos, "--store", store, "--dry-run", "--on-bad", "stop")[0] == 2


def test_an_empty_or_missing_folder_removes_nothing(photos: Path, store: Path, run: Run) -> None:
    shutil.rmtree(photos)
    assert "no such folder" in run("sync", photos, "--store", store)[2]
    photos.mkdir()
    assert "holds no pictures and no PDF files" in run("sync", photos, "--store", store)[2]
    assert len(Datastore.open(store)) == 3


@pytest.mark.long
def test_pages_follow_their_file_and_evidence_names_file_and_page(photos: Path, store: Path, run: Run) -> None:
    pytest.importorskip("pypdfium2")
    write_pdf(photos / "manual.pdf", ["Replace the seal.", "Order part 4711."])
    assert sync(run, photos, store) == (2, 0, 0, 3)
    output = run("search", "--store", store, "--text", "part 4711", "-k", 1)[1]
    assert "manual.pdf#page=2" in output
    write_pdf(photos / "manual.pdf", ["Replace the seal now."])
    assert sync(run, photos, store) == (0, 1, 1, 3)


def test_bad_files_of_a_folder_are_left_out_or_stop_the_build(photos: Path, tmp_path: Path, run: Run) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    options = ("--out", tmp_path / "store", "--encoder", "hashed")
    code, _, errors = run("build", photos, *options, "--on-bad", "stop")
    assert (code, errors.count("\n"), "broken.jpg" in errors) == (2, 1, True)
    code, output, errors = run("build", photos, *options, "--json")
    assert "camml: skipped: " in errors
    assert "broken.jpg" in errors
    assert (code, json.loads(output)["added"], len(json.loads(output)["skipped"])) == (0, 3, 1)


@pytest.mark.parametrize("verb", ["build", "add", "sync"])
def test_files_that_are_not_read_are_listed(
    verb: str, photos: Path, store: Path, tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("plan.docx", "sub/film.MP4", ".hidden.zip", "a.txt", "a.json"):
        (photos / name).write_text("{}" if name.endswith(".json") else "said")
    where = ("--out", tmp_path / "new", "--encoder", "hashed") if verb == "build" else ("--store", store)
    code, output, _ = run(verb, photos, *where, "--json", *(["--upsert"] if verb == "add" else []))
    assert (code, json.loads(output)["passed_over"]) == (0, {".docx": 1, ".mp4": 1})
    assert "passed over 2 files: 1 .docx (plan.docx), 1 .mp4 (sub/film.MP4); what is read: " in caplog.text


def test_photos_are_embedded_upright(tmp_path: Path, run: Run) -> None:
    upright = Image.new("RGB", (40, 80), "red")
    upright.paste("blue", (0, 0, 40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    upright.save(tmp_path / "photos" / "a.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photos" / "b.png", exif=exif)
    assert run("build", tmp_path / "photos", "--out", tmp_path / "store", "--encoder", "hashed")[0] == 0
    vectors = Datastore.open(tmp_path / "store").vectors(["a.png", "b.png"], "image")
    assert np.allclose(vectors["a.png"], vectors["b.png"])
