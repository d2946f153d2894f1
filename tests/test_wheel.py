"""The package as people install it: built, checked, installed into an empty environment, and asked a question there."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
LARGEST = 100 * 2**20
"""Bytes of a file that the package registry takes."""
MADE = ("__pycache__", "*.egg-info", "*.pyc")


def run(command: Sequence[str | Path], folder: Path, **variables: str) -> str:
    """Run a command without what the environment of the tests adds, and return what it printed."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | variables
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a source distribution, and the wheel that was made from it."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns(*MADE))
    run([sys.executable, "-m", "build", "--outdir", tree / "dist", tree], tree)
    return tree / "dist"


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with the wheel, which borrows the packages it depends on from the one that runs."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place)
    [wheel] = built.glob("*.whl")
    python = place / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel]
    run(command, place)
    [site] = place.glob("lib/python*/site-packages")
    # a plain line: the files *.pth in there, such as that of an editable installation, are not read
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = run([python, "-c", "import camml; print(camml.__file__)"], place).strip()
    assert Path(where).is_relative_to(site)
    return place / "bin"


def test_twine_finds_nothing_wrong(built: Path) -> None:
    archives = sorted(built.iterdir())
    assert [archive.suffix for archive in archives] == [".whl", ".gz"]
    run([sys.executable, "-m", "twine", "check", "--strict", *archives], built)


def test_every_file_of_the_package_is_inside(built: Path) -> None:
    files = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src" / "camml").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {"camml/py.typed", "camml/serving/page/index.html"} <= files
    [wheel], [source] = built.glob("*.whl"), built.glob("*.tar.gz")
    assert files - set(zipfile.ZipFile(wheel).namelist()) == set()
    with tarfile.open(source) as archive:
        packed = {name.split("/src/", 1)[-1] for name in archive.getnames()}
    assert files - packed == set()


def test_the_default_model_is_inside_and_the_registry_takes_it(built: Path) -> None:
    for archive in built.iterdir():
        assert archive.stat().st_size < LARGEST
    [wheel] = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    model = {f"camml/weights/shipped/camml-mini/{file.name}" for file in (ROOT / "models" / "camml-mini").iterdir()}
    assert model <= names


def test_the_command_says_what_it_does(installed: Path, tmp_path: Path) -> None:
    assert "ask" in run([installed / "camml", "--help"], tmp_path)
    assert "store" in run([installed / "python", "-m", "camml", "--help"], tmp_path)


@pytest.mark.weights
def test_a_question_is_answered_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    samples = []
    for name, color, part in (("pump-7", "red", "4711"), ("pump-9", "blue", "0815")):
        Image.new("RGB", (64, 64), color).save(tmp_path / "photos" / f"{name}.png")
        samples.append({"id": name, "image": f"photos/{name}.png", "text": f"{name}: the spare part is {part}."})
    (tmp_path / "pumps.json").write_text(json.dumps(samples))
    camml = installed / "camml"
    run([camml, "store", "build", "pumps.json", "--out", "store"], tmp_path)
    command = [
        camml,
        "ask",
        "Which spare part does it need?",
        "--image",
        "photos/pump-9.png",
        "--store",
        "store",
        "--shots",
        "1",
    ]
    said = json.loads(run([*command, "--json"], tmp_path))
    assert said["context"][0]["id"] == "pump-9"
    assert "0815" in said["answer"]
    assert said["notes"] == []  # the default model sees the picture
