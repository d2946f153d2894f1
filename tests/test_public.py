"""What the package shows."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import camml
from camml import plugins
from camml.errors import CaMMLError, UnknownNameError

SOURCE = Path(camml.__file__).parent


def imports(code: str) -> Iterator[str]:
    """Yield the modules that a file imports anywhere."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_every_public_name_is_there_and_sorted() -> None:
    assert camml.__all__ == sorted(camml.__all__)
    for name in camml.__all__:
        assert getattr(camml, name) is not None, name


def test_no_other_name_is() -> None:
    with pytest.raises(AttributeError, match="Everything"):
        _ = camml.Everything  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import camml, sys; print(*({'torch', 'numpy', 'transformers', 'PIL', 'pyarrow', 'faiss'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_folder_lists_its_choices_without_the_private_ones() -> None:
    assert {"hashed", "imagebind", "mini", "dual"} <= set(plugins.names("encoders"))
    assert not [name for name in plugins.names("encoders") if name.startswith("_")]


def test_an_unknown_choice_lists_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"'crystal_ball'.*hashed.*mini"):
        plugins.find("encoders", "crystal_ball")


def test_every_error_is_in_the_tree() -> None:
    from camml import errors

    drawn = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, Exception):
            assert issubclass(value, CaMMLError)
            assert name in drawn, f"{name} is not drawn in the docstring"


def test_the_version_is_said_once_and_the_same() -> None:
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8")
    assert tomllib.loads(text)["project"]["version"] == camml.__version__


@pytest.mark.long
def test_core_dependencies_are_those_the_core_needs() -> None:
    """The packages that unpack other people's files weigh more than all of ours; small readers of our own suffice."""
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8")
    core = {re.split(r"[<>=~! ;\[]", line)[0] for line in tomllib.loads(text)["project"]["dependencies"]}
    assert core.isdisjoint({"gguf", "onnx"})
    imported = {node.partition(".")[0] for file in SOURCE.rglob("*.py") for node in imports(file.read_text("utf-8"))}
    assert imported.isdisjoint({"gguf", "onnx"})


def test_the_one_door_is_public() -> None:
    from camml import assistant

    assert camml.load is assistant.load
