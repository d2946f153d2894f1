"""A run that goes on from what an earlier one trained begins where that one ended."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from camml.errors import CaMMLError, ModelFolderError, OptionError
from camml.model.retrieval_settings import settings_of
from camml.training import dry_run, preflight, recipes, rows
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


@pytest.mark.parametrize("what", ["nothing there", "a run without matrices"])
def test_what_is_missing_is_said_before_data_are_read(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "earlier"
    if what == "a run without matrices":
        folder.mkdir()
        (folder / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 8}')
        save_file({}, folder / "adapter_model.safetensors")
    monkeypatch.setattr(rows, "load", lambda *_: pytest.fail("the data were read first"))
    monkeypatch.setattr(rows, "read", lambda *_, **__: pytest.fail("the data were read first"))
    for doing in (prepare, dry_run.report):
        settings = recipes.parse(flags(tmp_path, tmp_path / "new", pretrain_lora=folder))
        with pytest.raises(CaMMLError, match="earlier"):
            doing(settings)
    with pytest.raises(CaMMLError, match="earlier"):
        preflight.check_folders(settings.model)


@pytest.mark.long
def test_a_dry_run_says_what_a_run_goes_on_from(earlier: Path, tmp_path: Path) -> None:
    settings = recipes.parse(flags(earlier.parent, tmp_path / "new", pretrain_lora=earlier))
    assert f"goes on from {earlier}, " in dry_run.report(settings)
    assert f"goes on from: {earlier}, " in "\n".join(preflight.check_folders(settings.model))
    (tmp_path / "half").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors", "camml_base.json"):
        shutil.copy(earlier / name, tmp_path / "half" / name)
    settings = recipes.parse(flags(earlier.parent, tmp_path / "new", pretrain_lora=tmp_path / "half"))
    with pytest.raises(ModelFolderError, match="has no between"):
        dry_run.report(settings)


@pytest.mark.long
def test_the_new_run_knows_how_samples_for_it_are_found(earlier: Path, packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed, tmp_path / "packed")
    file = tmp_path / "packed" / "packed.json"
    about = {"encoder": "mini", "encoder_options": {"heads": "maps.safetensors"}, "mode": "fused", "shots": 2}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"retrieval": about}))
    (tmp_path / "packed" / "maps.safetensors").write_bytes(b"maps")
    arguments = flags(earlier.parent, tmp_path / "new", pretrain_lora=tmp_path / "packed", max_steps=1)
    settings = settings_of(train(recipes.parse(arguments)))
    assert (settings.mode, settings.shots, settings.stated) == ("fused", 2, True)
    assert (tmp_path / "new" / "maps.safetensors").read_bytes() == b"maps"


def test_it_needs_lora(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="add --tune lora"):
        recipes.parse(flags(tmp_path, tmp_path / "new", pretrain_lora=tmp_path, tune="full"))
