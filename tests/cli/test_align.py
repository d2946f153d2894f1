"""`camml align`: texts that find images, from a datastore of the encoder mini."""

import json
from pathlib import Path

import pytest
from PIL import Image

from camml import encoders
from camml.cli import main
from camml.datastore import Datastore
from camml.types import Sample
from tests.encoders.tiny_encoders import save_mini

COLORS = ("red", "green", "blue", "yellow", "black", "white")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two pictures and texts of each color, in a datastore of a tiny encoder."""
    options = save_mini(tmp_path)
    samples = []
    for color in COLORS:
        for size in (20, 30):
            file = tmp_path / f"{color}{size}.png"
            Image.new("RGB", (size, size), color).save(file)
            samples.append(Sample(f"{color}{size}", f"this is {color}", file, {"about": {"color": color}}))
    Datastore.build(tmp_path / "store", samples, encoders.load("mini", **options), encoder_options=options)
    return tmp_path / "store"


@pytest.mark.absolute_paths
def test_the_maps_make_the_encoder_joint(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "heads.safetensors"
    command = ["align", str(store), str(out), "--group", "about.color", "--dim", "8", "--steps", "20", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(out), "samples": 12, "groups": 6}
    options = Datastore.open(store).manifest.encoder.options
    assert encoders.load("mini", **options, heads=str(out)).joint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--group", "about.shape"], "has no 'about.shape' in its metadata"),
        (["--steps", "0"], "--steps is 0"),
        (["--dim", "9999"], "dim is 9999"),
    ],
)
def test_bad_options_are_errors(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: list[str], message: str
) -> None:
    out = tmp_path / "heads.safetensors"
    assert main(["align", str(store), str(out), *change]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_files_of_others_are_not_replaced(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, message in (("samples.csv", "does not end in .safetensors"), ("there.safetensors", "--overwrite")):
        (tmp_path / name).write_text("mine")
        assert main(["align", str(store), str(tmp_path / name), "--steps", "1"]) == 2
        assert message in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "mine"
    command = ["align", str(store), str(tmp_path / "there.safetensors"), "--steps", "1", "--dim", "8"]
    assert main([*command, "--overwrite"]) == 0
    assert (tmp_path / "there.safetensors").read_bytes() != b"mine"


def test_a_store_of_another_encoder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Datastore.build(tmp_path / "other", [Sample("a", "text", None, {})], encoders.load("hashed"))
    assert main(["align", str(tmp_path / "other"), str(tmp_path / "heads.safetensors")]) == 2
    assert "made by the encoder 'hashed'" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.absolute_paths
def test_changed_copies_of_the_pictures_are_learned_from_too(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["align", str(store), "--group", "about.color", "--dim", "8", "--steps", "20"]
    plain, changed = tmp_path / "plain.safetensors", tmp_path / "changed.safetensors"
    assert main([*command[:2], str(plain), *command[2:]]) == 0
    assert main([*command[:2], str(changed), *command[2:], "--changed", "2"]) == 0
    assert plain.read_bytes() != changed.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir() if "changed" in file.name) == ["changed.safetensors"]
    capsys.readouterr()
    assert main([*command[:2], str(changed), *command[2:], "--changed", "-1"]) == 2
    assert "--changed is -1; give 0 or more" in capsys.readouterr().err
