"""What a run starts from: flags reach a CaMML folder as they do its parts, or are refused."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from camml.cli import main
from camml.errors import OptionError
from camml.training import building, recipes
from tests import tiny
from tests.training import runs


@pytest.fixture(scope="module")
def added_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CaMML model of a vision-language model, with its processor."""
    folder = tmp_path_factory.mktemp("models") / "added"
    for part in tiny.added("llava"):
        part.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("start", ["camml_folder", "added_folder"])
def test_attention_is_chosen_for_a_camml_folder_too(start: str, bench: Path, request: pytest.FixtureRequest) -> None:
    folder = {"model_name_or_path": request.getfixturevalue(start), "vision_tower": None}
    for chosen in ("eager", "sdpa"):
        told = recipes.parse(runs.flags(bench, **folder, attn_implementation=chosen))
        assert building.build(told.model)[0].language_part.config._attn_implementation == chosen
    if find_spec("flash_attn") is None:
        told = recipes.parse(runs.flags(bench, **folder, attn_implementation="flash_attention_2"))
        with pytest.raises(OptionError, match=r"--attn_implementation flash_attention_2 cannot be used: .*leave"):
            building.build(told.model)


@pytest.mark.parametrize("mode", ["check", "dry_run"])
def test_a_projector_that_is_not_of_camml_cannot_be_trained(
    mode: str, added_folder: Path, bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = {"model_name_or_path": added_folder, "vision_tower": None, "tune": "projector"}
    for more in ({}, {mode: True}):
        assert main(["train", *runs.flags(bench, **folder, **more, output_dir=tmp_path / "out")]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert f"{added_folder} holds a 'llava' model" in error
        assert "--tune perceiver trains what CaMML adds" in error
