"""What the package shows."""

import subprocess
import sys

import pytest

import camml
from camml import plugins
from camml.errors import CaMMLError, UnknownNameError


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
