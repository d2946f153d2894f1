"""Everything public has an example in its docstring, and the examples run; so do those of what packages export."""

import doctest
import inspect
import json
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import camml

PAGE = (Path(__file__).parents[1] / "docs" / "api.md").read_text()
SAMPLES = """id,image,text
pump-7,pump.jpg,The pump needs seal 4711.
lamp-2,lamp.jpg,The lamp needs a bulb.
"""


def public() -> Iterator[tuple[str, Any]]:
    """Yield name and object of all that `camml` exports and docs/api.md shows; values that are no code are left out."""
    seen = {}
    for name in camml.__all__:
        seen[f"camml.{name}"] = getattr(camml, name)
    for address, members in re.findall(r"^::: (\S+)(?:\n    options:\n      members: \[(.*)\])?", PAGE, re.MULTILINE):
        module, _, name = address.rpartition(".")
        if members:
            seen |= {f"{address}.{member}": getattr(import_module(address), member) for member in members.split(", ")}
        elif hasattr(import_module(module), name) and address != "camml.errors":
            seen[address] = getattr(import_module(module), name)
    known: dict[Any, str] = {}
    for name, value in seen.items():
        if inspect.isclass(value) or inspect.isfunction(value):
            known.setdefault(value, name)
    for value, name in known.items():
        yield name, value


def exported() -> Iterator[tuple[str, Any]]:
    """Yield name and object of what packages export beside that, where an example shows how to use it."""
    known = {value for _, value in PUBLIC}
    for package in PACKAGES:
        for name, value in vars(import_module(f"camml.{package}")).items():
            ours = inspect.isclass(value) or inspect.isfunction(value)
            if not ours or value in known or not value.__module__.startswith(f"camml.{package}"):
                continue
            known.add(value)
            if ">>>" in (value.__doc__ or ""):
                yield f"camml.{package}.{name}", value


PUBLIC = list(public())
PACKAGES = ("datastore", "distributed", "encoders", "formats", "images", "model", "reading", "stores", "weights")
EXPORTED = list(exported())


def examples(name: str, value: Any) -> doctest.DocTest | None:
    """Return the examples of an object's own docstring, with the names that its file knows."""
    names = vars(import_module(value.__module__)) | {"__name__": "__main__"}
    [test] = doctest.DocTestFinder(recurse=False).find(value, name, globs=dict(names)) or [None]
    return test if test and test.examples else None


@pytest.fixture
def folder(tmp_path: Path, camml_folder: Path, vlm_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that examples name; its models are small and have random weights."""
    for number, name in enumerate(("pump", "lamp", "photo")):
        Image.new("RGB", (40, 40), (80 * number, 60, 200 - 80 * number)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "samples.csv").write_text(SAMPLES)
    shutil.copytree(camml_folder, tmp_path / "models" / "camml-mini")
    (tmp_path / "models" / "camml-mini" / "retrieval.json").write_text(json.dumps({"encoder": "hashed", "shots": 1}))
    (tmp_path / "models" / "vlm").symlink_to(vlm_folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.long
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("name", "value"), PUBLIC + EXPORTED, ids=[name for name, _ in PUBLIC + EXPORTED])
def test_the_example_runs(name: str, value: Any) -> None:
    test = examples(name, value)
    assert test is not None, f"{name} has no example"
    assert not any(example.options.get(doctest.SKIP) for example in test.examples), "an example that is left out"
    report: list[str] = []
    result = doctest.DocTestRunner().run(test, out=report.append)
    assert result.failed == 0, "".join(report)
    assert result.attempted == len(test.examples)


def test_the_page_and_the_package_are_covered() -> None:
    names = {name for name, _ in PUBLIC}
    assert {"camml.load", "camml.Datastore", "camml.encoders.Encoder", "camml.formats.read"} <= names
    assert len(names) >= 20
