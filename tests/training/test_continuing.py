"""A run that goes on from what an earlier one trained begins where that one ended."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from camml.errors import ModelFolderError, OptionError
from camml.training import recipes
from camml.training.train import prepare, train
from tests.training import runs

SCRIPTS = Path(__file__).parents[2] / "scripts"
LORA = {"tune": "lora", "lora_r": 4, "lora_alpha": 8, "seed": 3}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    return train(recipes.parse(flags(folder, folder / "run", max_steps=3, learning_rate=1e-2)))


@pytest.fixture(scope="module")
def packed(earlier: Path) -> Path:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import pack_model
    finally:
        sys.path.remove(str(SCRIPTS))
    pack_model.pack(earlier, earlier.parent / "packed")
    return earlier.parent / "packed"


def flags(folder: Path, out: Path, **more: object) -> list[str]:
    return runs.flags(folder / "bench", output_dir=out, **{**LORA, **more})


def trained(folder: Path, out: Path, **more: object) -> dict[str, torch.Tensor]:
    """All that a new run would train, before its first step."""
    model = prepare(recipes.parse(flags(folder, out, **more))).model
    return {
        name.removeprefix("base_model.model.").replace(".default", ""): parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


@pytest.mark.long
@pytest.mark.parametrize("kind", ["run", "packed"])
def test_it_begins_with_the_matrices_perceivers_and_projector_of_the_earlier_run(
    kind: str, earlier: Path, packed: Path, tmp_path: Path
) -> None:
    start = trained(earlier.parent, tmp_path / "new", pretrain_lora=earlier if kind == "run" else packed)
    matrices = load_file(earlier / "adapter_model.safetensors")
    end = {name.removeprefix("base_model.model."): tensor for name, tensor in matrices.items()}
    end |= load_file(earlier / "between.safetensors")
    assert start.keys() == end.keys()
    assert any(tensor.abs().sum() > 0 for name, tensor in end.items() if "lora_B" in name)
    for name, tensor in end.items():
        torch.testing.assert_close(start[name], tensor, rtol=1e-2 if kind == "packed" else 0, atol=1e-6)


@pytest.mark.long
def test_another_rank_or_scale_is_refused(earlier: Path, tmp_path: Path) -> None:
    for wrong in ({"lora_r": 2}, {"lora_alpha": 16}):
        with pytest.raises(OptionError, match="--lora_r 4 --lora_alpha 8"):
            trained(earlier.parent, tmp_path / "new", pretrain_lora=earlier, **wrong)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="neither a packed model"):
        trained(tmp_path, tmp_path / "new", pretrain_lora=tmp_path)


def test_it_needs_lora(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="add --tune lora"):
        recipes.parse(flags(tmp_path, tmp_path / "new", pretrain_lora=tmp_path, tune="full"))
