"""Choices are the files of a folder and what other packages add by entry points."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from camml import encoders, formats, plugins, stores
from camml.cli import main
from camml.datastore import Datastore
from camml.errors import PluginError, UnknownNameError
from camml.evaluation import task
from camml.types import Sample

MODULES = {
    "shelf/encoder.py": """
from camml.encoders.hashed import HashedEncoder

def load():
    encoder = HashedEncoder(joint=False)
    encoder.name = "shelf"
    return encoder
""",
    "shelf/store.py": """
from camml.stores import memory

class Store(memory.Store):
    pass
""",
    "shelf/questions.py": """
from dataclasses import replace
from camml.evaluation.tasks import pope

TASK = replace(pope.TASK, title="Shelf")
""",
    "shelf/lines.py": """
from camml.types import Sample

def matches(path):
    return path.suffix == ".shelf"

def read(path, images):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        yield f"line {number}", Sample(str(number), line)
""",
    "broken/__init__.py": "import a_package_that_is_not_there\n",
}
ENTRY_POINTS = """
[camml.encoders]
shelf = shelf.encoder

[camml.stores]
shelf = shelf.store

[camml.tasks]
shelf = shelf.questions

[camml.formats]
shelf = shelf.lines
"""
BROKEN = """
[camml.encoders]
broken = broken
hashed = broken

[camml.tasks]
broken = broken

[camml.formats]
broken = broken
function = shelf.lines:read
"""


def install(folder: Path, name: str, entry_points: str) -> None:
    """Put a distribution into a folder as an installer does."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)
    for path, content in MODULES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(content)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with a good plug-in of each kind."""
    folder = tmp_path / "site"
    install(folder, "shelf", ENTRY_POINTS)
    monkeypatch.syspath_prepend(folder)
    yield folder
    for module in [module for module in sys.modules if module.partition(".")[0] in ("shelf", "broken")]:
        del sys.modules[module]


@pytest.fixture
def broken(site: Path) -> None:
    """Add a package whose plug-ins cannot be used."""
    install(site, "broken", BROKEN)


def test_a_module_of_tasks_may_have_several(site: Path) -> None:
    (site / "shelf" / "questions.py").write_text(
        "from camml.evaluation.tasks.pope import TASK as POPE\nTASKS = {'shelf_top': POPE, 'shelf_low': POPE}\n"
    )
    assert task.find("shelf_low") is task.find("shelf_top") is task.find("pope")
    assert {"shelf_low", "shelf_top"} < set(task.names())
    assert "shelf" not in task.names()
    for wrong in ("shelf", "shelf_middle"):
        with pytest.raises(UnknownNameError, match=rf"no benchmark '{wrong}'; .* shelf_low, shelf_top"):
            task.find(wrong)


@pytest.mark.parametrize("folder", list(plugins.GROUPS))
def test_a_package_adds_a_choice(folder: str, site: Path) -> None:
    assert "shelf" in plugins.names(folder)
    assert Path(plugins.find(folder, "shelf").__file__ or "").is_relative_to(site)


def test_a_file_of_samples_is_read_embedded_and_stored_by_plugins(site: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.shelf").write_text("a red bicycle\na green tree\n")
    samples = list(formats.read(tmp_path / "notes.shelf"))
    assert samples == [Sample("1", "a red bicycle"), Sample("2", "a green tree")]
    encoder = encoders.load("shelf")
    store = Datastore.build(tmp_path / "store", samples, encoder, store="shelf")
    again = Datastore.open(tmp_path / "store", encoder)
    assert again.manifest.encoder.name == "shelf"
    assert again.manifest.store == "shelf"
    assert type(stores.create("shelf", 4)).__module__ == "shelf.store"
    vectors = encoder.embed_texts(["a green tree"])
    assert [row[0].sample.id for row in store.search(vectors, "text", 1)] == ["2"]
    assert [row[0].sample.id for row in again.search(vectors, "text", 1)] == ["2"]


@pytest.mark.long
def test_the_command_line_takes_a_plugin(site: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.shelf").write_text("a red bicycle\na green tree\n")
    command = [sys.executable, "-m", "camml", "store", "build", "notes.shelf", "--out", "store", "--encoder", "shelf"]
    environment = {"PYTHONPATH": f"{site}:{Path(plugins.__file__).parents[1]}", "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert Datastore.open(tmp_path / "store").manifest.encoder.name == "shelf"


@pytest.mark.usefixtures("site")
def test_a_task_of_a_package_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert task.find("shelf").title == "Shelf"
    assert main(["eval", "list"]) == 0
    assert "shelf" in capsys.readouterr().out


@pytest.mark.usefixtures("broken")
def test_a_broken_plugin_is_named_where_it_is_asked_for() -> None:
    with pytest.raises(
        PluginError, match=r"'broken' \(camml.encoders\) of the package 'broken' cannot be imported"
    ) as e:
        encoders.load("broken")
    assert "a_package_that_is_not_there" in str(e.value)
    with pytest.raises(PluginError, match=r"'function' .* must name a module, .*not 'shelf.lines:read'"):
        plugins.find("formats", "function")


@pytest.mark.usefixtures("broken")
def test_a_broken_plugin_does_not_break_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.shelf").write_text("a red bicycle\n")
    with caplog.at_level(logging.WARNING, "camml"):
        assert formats.find_format(tmp_path / "notes.shelf") == "shelf"
        assert main(["eval", "list"]) == 0
    out = capsys.readouterr().out
    assert "shelf" in out
    assert "scienceqa" in out
    assert "'broken' (camml.tasks) of the package 'broken' cannot be imported" in caplog.text
    assert encoders.load("shelf").name == "shelf"


@pytest.mark.usefixtures("broken")
def test_a_file_of_ours_comes_before_a_plugin_of_that_name() -> None:
    assert encoders.load("hashed").name == "hashed"
    assert plugins.names("encoders").count("hashed") == 1


def test_two_packages_that_add_one_name_are_both_named(site: Path) -> None:
    install(site, "other", "[camml.encoders]\nshelf = shelf.store\n")
    with pytest.raises(PluginError, match="is added by the package 'other' and the package 'shelf'; remove one"):
        encoders.load("shelf")
    assert stores.create("shelf", 4).dim == 4


@pytest.mark.usefixtures("site")
def test_an_unknown_name_is_answered_with_those_of_packages_too() -> None:
    with pytest.raises(UnknownNameError, match=r"no encoder 'mars'; there are: .*hashed.*shelf"):
        encoders.load("mars")


def test_other_folders_have_no_entry_points() -> None:
    assert plugins.names("serving.engines") == ["transformers", "vllm"]
