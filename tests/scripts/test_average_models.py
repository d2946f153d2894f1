"""Means of packed models: LoRA matrices are averaged, the rest is the first model's, unlike models are refused."""

import errno
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from camml.model.folder import PACKED
from camml.model.packed import LORA

REPOSITORY = Path(__file__).parents[2]
MINI = REPOSITORY / "models" / "camml-mini"
Average = Callable[..., int]


@pytest.fixture
def average(monkeypatch: pytest.MonkeyPatch) -> Average:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    import average_models

    def call(out: Path, *models: str) -> int:
        monkeypatch.setattr(sys, "argv", ["average_models.py", str(out), *models])
        return average_models.main()

    return call


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Return a copy of the shipped model whose LoRA matrices are all 1 more."""
    folder = tmp_path / "other"
    shutil.copytree(MINI, folder)
    more = {name: (values.float() + 1).to(values.dtype) for name, values in load_file(MINI / LORA).items()}
    save_file(more, folder / LORA)
    return folder


def test_matrices_are_the_weighted_mean_and_other_files_stay(average: Average, other: Path, tmp_path: Path) -> None:
    assert average(tmp_path / "out", f"{MINI}=0.25", f"{other}=0.75") == 0
    mean, first, second = (load_file(folder / LORA) for folder in (tmp_path / "out", MINI, other))
    assert mean.keys() == first.keys()
    for name, values in mean.items():
        expected = 0.25 * first[name].float() + 0.75 * second[name].float()
        assert values.dtype == first[name].dtype
        torch.testing.assert_close(values.float(), expected, rtol=1e-2, atol=1e-2)
    for file in MINI.iterdir():
        if file.name != LORA:
            assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["{mini}=0.5", "{other}=0.6"], "sum to 1.1"),
        (["{mini}=1"], "two models or more"),
        (["{mini}=0.5", "nowhere=0.5"], "nowhere is no packed model"),
    ],
)
def test_what_cannot_be_averaged_is_said(
    average: Average, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], models: list[str], message: str
) -> None:
    assert average(tmp_path / "out", *(text.format(mini=MINI, other=other) for text in models)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_that_differs_in_more_than_lora_is_refused(
    average: Average, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = load_file(other / "between.safetensors")
    save_file({name: values + 1 for name, values in added.items()}, other / "between.safetensors")
    assert average(tmp_path / "out", f"{MINI}=0.5", f"{other}=0.5") == 2
    assert "differ in between.safetensors" in capsys.readouterr().err
    about = json.loads((other / PACKED).read_text())
    about["sizes"]["image_size"] = 98
    (other / PACKED).write_text(json.dumps(about))
    assert average(tmp_path / "out", f"{MINI}=0.5", f"{other}=0.5") == 2
    assert "different settings" in capsys.readouterr().err


@pytest.mark.parametrize("name", [PACKED, LORA])
def test_a_file_that_cannot_be_read_is_named(
    average: Average, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (other / name).write_bytes((other / name).read_bytes()[:100])
    assert average(tmp_path / "out", f"{MINI}=0.5", f"{other}=0.5") == 2
    assert f"{other} cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_weight_and_an_existing_folder_are_said(
    average: Average, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        average(tmp_path / "out", str(MINI), f"{MINI}=0.5")
    assert stop.value.code == 2
    assert "is not FOLDER=WEIGHT" in capsys.readouterr().err
    assert average(tmp_path, f"{MINI}=0.5", f"{MINI}=0.5") == 2
    assert "exists" in capsys.readouterr().err


def test_a_full_disk_is_said_and_nothing_is_left(
    average: Average, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr("camml.model.folder.sync", full)
    assert average(tmp_path / "out", f"{MINI}=0.5", f"{MINI}=0.5") == 2
    assert "No space left on device; free some space" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
