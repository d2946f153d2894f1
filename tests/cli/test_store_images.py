"""`--store-images` in every verb that opens a datastore, on a published pair whose pictures were moved."""

import json
from pathlib import Path

import faiss
import numpy as np
import pytest

from camml import encoders
from camml.cli import build_parser, main, serve
from camml.neighbors import NeighborTable
from camml.serving.shelf import ServedDatastore
from tests import tiny
from tests.training import runs

NAMES = [f"data/coco/{number}.png" for number in range(4)]


@pytest.fixture
def pair(tmp_path: Path) -> str:
    """A pair made with the encoder `hashed`, its pictures on another disk."""
    encoder = encoders.load("hashed")
    disk = tmp_path / "disk" / "coco"
    disk.mkdir(parents=True)
    files = [tiny.image(disk, str(number), runs.COLORS[number]) for number in range(4)]
    from camml.images import open_image

    index = faiss.IndexFlatIP(encoder.image_dim)
    index.add(np.asarray(encoder.embed_images([open_image(file) for file in files]), dtype=np.float32))
    (tmp_path / "data").mkdir()
    faiss.write_index(index, str(tmp_path / "data" / "flat.index"))
    entries = [{"id": str(n), "image": name, "text": f"colour {n}"} for n, name in enumerate(NAMES)]
    (tmp_path / "data" / "memory.json").write_text(json.dumps(entries))
    return f"{tmp_path / 'data' / 'flat.index'}:{tmp_path / 'data' / 'memory.json'}"


def both(capsys: pytest.CaptureFixture[str], disk: Path, *arguments: object) -> str:
    """What a command prints with the flag, after it was refused in one line without."""
    given = [str(argument) for argument in arguments]
    assert main(given) == 2
    [error] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("camml: error: ")]
    assert "none of the 4 looked at is there" in error
    assert "--store-images DIR" in error
    assert main([*given, "--store-images", str(disk)]) == 0
    return capsys.readouterr().out


def test_info_and_search(pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    assert "4" in both(capsys, disk, "store", "info", "--store", pair, "--verify")
    said = both(capsys, disk, "store", "search", "--store", pair, "--encoder", "hashed", "--image", disk / "coco/1.png")
    assert str(disk / "coco" / "1.png") in said
    (disk / "coco" / "2.png").unlink()
    assert main(["store", "info", "--store", pair, "--store-images", str(disk), "--verify", "--json"]) == 1
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert "coco/2.png of the sample '2' is not there" in problem


def test_ask(pair: str, tmp_path: Path, llm_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "disk" / "coco" / "1.png"
    more = ("--encoder", "hashed", "--model", llm_folder, "--max-new-tokens", 2, "--mode", "image-image")
    said = both(capsys, tmp_path / "disk", "ask", "what", "--image", picture, "--store", pair, *more)
    assert str(picture) in said
    assert (
        main(["ask", "what", "--image", str(picture), "--store", pair, "--store-images", "none", *map(str, more)]) == 0
    )


@pytest.mark.long
def test_neighbors_hold_paths_that_lead_somewhere(
    pair: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out, disk = runs.dataset(tmp_path), tmp_path / "out", tmp_path / "disk"
    more = ("--encoder", "hashed", "--mode", "image-image", "--allow-none", "--k", 2)
    both(capsys, disk, "neighbors", data, pair, out, *more)
    context = NeighborTable.open(out).context("row-0")
    assert all(neighbor.sample.image.is_file() for neighbor in context)
    (disk / "coco" / "3.png").unlink()
    again = ["neighbors", str(data), pair, str(tmp_path / "again"), "--store-images", str(disk), *map(str, more)]
    assert main(again) == 2
    assert "1 pictures of" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


@pytest.mark.absolute_paths
def test_serve(pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = str(tmp_path / "disk")
    monkeypatch.setattr(encoders, "load", lambda *_, **__: encoder)
    encoder = _load()
    for texts in ([disk], [f"mine={disk}"]):
        flags = [word for text in texts for word in ("--store-images", text)]
        settings = serve.read_settings(build_parser().parse_args(["serve", "--store", f"mine={pair}", *flags]))
        assert settings.store_images == {"mine": disk}
        shelf = ServedDatastore.open("mine", settings.stores["mine"], images=settings.store_images["mine"])
        assert {sample.image.parent for sample in shelf.datastore} == {tmp_path / "disk" / "coco"}


@pytest.mark.parametrize(("text", "message"), [("D", "there are 2: NAME=DIR"), ("c=D", "no --store is called 'c'")])
def test_serve_must_know_which_datastore_is_meant(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--store", "a=A", "--store", "b=B", "--store-images", text]) == 2
    assert message in capsys.readouterr().err


def _load() -> encoders.Encoder:
    from camml.encoders import hashed

    return hashed.load()
