"""What is written leaves alone what is somebody else's."""

from pathlib import Path

import pytest

from camml.datastore import Datastore, check_file
from camml.datastore.targets import check_new
from camml.durable import UNFINISHED
from camml.errors import OptionError, StoreError
from camml.types import Sample
from tests.colors import Colors, picture


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("work/notes.txt", "work"), ("notes.txt", "notes.txt"), ("images/holiday.png", "images"), ("work", "work"),
        ("manifest.json", "manifest.json"), ("work/.git/config", "work"), ("samples.parquet", "samples.parquet"),
    ],
)  # fmt: skip
def test_a_folder_of_something_else_is_refused_and_left_as_it_was(
    tmp_path: Path, samples: list[Sample], encoder: Colors, name: str, named: str
) -> None:
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text('{"name": "mine"}')
    before = content(tmp_path / "mine")
    with pytest.raises(OptionError, match=f"mine holds something else than a datastore, such as '{named}'; give a new"):
        Datastore.build(tmp_path / "mine", samples, encoder)
    assert content(tmp_path / "mine") == before
    assert encoder.calls == []


@pytest.mark.parametrize(
    "names",
    [
        [], [".DS_Store"], ["lock"], ["work/"], ["lock", "patches/0123456789abcdef/x.f16"],
        ["lock", f"work/{'0a' * 32}.npz", f"work/{'0a' * 32}.parquet", "work/plan.parquet", "work/collection"],
        ["lock", "work/tmpab1_xyz9", f"work/{'0a' * 32}.npz.17-ab{UNFINISHED}", f"manifest.json.17-ab{UNFINISHED}"],
        ["lock", "000001-samples.parquet", "000001-text.index", "000001-image-2.index", "000001.reading"],
        ["lock", f"images/{'0a' * 32}.png", f"images/{'0a' * 32}.17-ab{UNFINISHED}", "unused-pictures"],
    ],
)  # fmt: skip
def test_what_an_interrupted_build_leaves_is_built_upon(
    tmp_path: Path, samples: list[Sample], encoder: Colors, names: list[str]
) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (folder / name).mkdir()
        else:
            (folder / name).write_text("half")
    assert list(Datastore.build(folder, samples, encoder)) == samples


def test_pictures_may_lie_in_the_folder_where_that_is_said(tmp_path: Path, encoder: Colors) -> None:
    samples = [Sample("r", "red", picture(tmp_path / "store" / "images", "red"))]
    with pytest.raises(OptionError, match="'images'"):
        Datastore.build(tmp_path / "store", samples, encoder)
    store = Datastore.build(tmp_path / "store", samples, encoder, images=tmp_path / "store" / "images")
    assert store["r"].image == samples[0].image


def test_pictures_in_the_folder_that_is_deleted_in_the_end_are_refused(tmp_path: Path, encoder: Colors) -> None:
    image = picture(tmp_path / "store" / "work", "red")
    with pytest.raises(OptionError, match="'work'"):
        Datastore.build(tmp_path / "store", [Sample("r", "red", image)], encoder, images=image.parent)
    assert image.exists()


def test_a_file_is_no_folder_for_a_datastore(tmp_path: Path, samples: list[Sample], encoder: Colors) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OptionError, match="file is a file; give a folder"):
        Datastore.build(tmp_path / "file", samples, encoder)


def test_samples_are_not_read_where_there_is_a_datastore(
    tmp_path: Path, samples: list[Sample], encoder: Colors
) -> None:
    Datastore.build(tmp_path / "store", samples, encoder)
    unread = iter(samples)
    with pytest.raises(StoreError, match="already; add to it, or choose another folder"):
        Datastore.build(tmp_path / "store", unread, encoder)
    assert list(unread) == samples


def test_a_file_is_replaced_only_where_that_is_said_and_never_in_a_datastore(
    tmp_path: Path, samples: list[Sample], encoder: Colors
) -> None:
    store = Datastore.build(tmp_path / "store", samples, encoder, copy_images=True)
    [data] = (tmp_path / "store").glob("*.parquet")
    for path in (data, tmp_path / "store" / "new.csv", tmp_path / "store" / "images" / "new.csv"):
        with pytest.raises(OptionError, match=r"would be in the datastore .*store; give a place outside of it"):
            check_file(path, overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "store")
    with pytest.raises(OptionError, match="would be in the datastore"):
        check_file(tmp_path / "link" / data.name, overwrite=True)
    for path in (store.path, tmp_path / "pictures"):
        with pytest.raises(OptionError, match="is a folder; give a file"):
            check_file(path or Path(), overwrite=True)
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "dangling.csv").symlink_to("nowhere")
    for name in ("there.csv", "dangling.csv"):
        with pytest.raises(OptionError, match=rf"{name} is there already; give another name, or --overwrite"):
            check_file(tmp_path / name)
        check_file(tmp_path / name, overwrite=True)
    with pytest.raises(OptionError, match=r"no folder .*nowhere for new\.csv; make it first"):
        check_file(tmp_path / "nowhere" / "new.csv")
    check_file(tmp_path / "new.csv")


def test_the_database_of_a_build_that_was_interrupted_may_lie_in_the_folder(tmp_path: Path) -> None:
    for name in ("lock", "vectors.db"):
        (tmp_path / name).touch()
    check_new(tmp_path, "vectors.db?index=HNSW", None)
    for other in ("", "http://host:19530", "/elsewhere/vectors.db"):
        with pytest.raises(OptionError, match=r"'vectors\.db'"):
            check_new(tmp_path, other, None)
