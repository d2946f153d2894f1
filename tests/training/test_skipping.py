"""Data that turns out bad while a run goes on: left out and named, or one line that stops the run."""

import json
from pathlib import Path

import pytest
import torch

from camml.errors import ImageError, SampleError
from camml.training import recipes
from camml.training.skipping import SKIPPED, Skipped, in_one_line
from camml.training.train import train
from tests.training import runs


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def spoiled(folder: Path, **more: object) -> list[str]:
    """The flags of a run in which a row is too long and the image of another cannot be decoded."""
    flags = runs.flags(folder, icl_num=0, neighbors=None, lazy_preprocess=True, model_max_length=110, **more)
    entries = json.loads((folder / "train.json").read_text())
    entries[2]["conversations"][0]["value"] += " of France" * 100
    (folder / "train.json").write_text(json.dumps(entries))
    (folder / "picture-6.png").write_text("no image")
    return flags


@pytest.mark.long
def test_left_out_where_rows_are_prepared_when_they_are_needed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = spoiled(tmp_path, dataloader_num_workers=1, num_train_epochs=2, on_bad_sample="skip")
    output = train(recipes.parse(flags))
    record = json.loads((output / "run.json").read_text())
    assert record["result"]["steps"] == 12
    long, broken = sorted(record["skipped"], key=lambda line: "picture-6" in line)
    assert "'row-2'" in long
    assert "--model_max_length" in long
    assert "'row-6'" in broken
    assert "picture-6.png: is not an image" in broken
    told = [line for line in capfd.readouterr().err.splitlines() if line.startswith("camml: skipped")]
    assert len(told) == 2
    assert not (output / SKIPPED).exists()


@pytest.mark.long
@pytest.mark.parametrize("row", [2, 6])
def test_or_a_line_that_stops_the_run(tmp_path: Path, row: int) -> None:
    flags = spoiled(tmp_path, dataloader_num_workers=1)
    entries = json.loads((tmp_path / "train.json").read_text())
    kept = [entry for number, entry in enumerate(entries) if number % 3 == 1 or number == row]
    (tmp_path / "train.json").write_text(json.dumps(kept[::-1]))  # what is bad comes last: the first rows are checked
    settings = recipes.parse([*flags, "--per_device_train_batch_size", "1"])
    with pytest.raises((SampleError, ImageError)) as caught:
        train(settings)
    assert "row-2" in str(caught.value) or "picture-6.png" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (settings.output / SKIPPED).exists()


def test_a_reason_is_told_once_whoever_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Skipped(tmp_path / "out"), Skipped(tmp_path / "out")
    assert first.reasons() == []
    for told in (first, second, first):
        told(SampleError("a is bad"))
    second(SampleError("b\nis bad"))
    assert first.reasons() == ["a is bad", "b\nis bad"]
    assert capsys.readouterr().err.count("a is bad") == 1
    assert second.move_to(["c", "a is bad"]) == ["c", "a is bad", "b\nis bad"]
    assert first.reasons() == []


def test_the_error_of_a_worker_is_one_line_again() -> None:
    wrapped = SampleError(
        "Caught SampleError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        "  File \"x.py\", line 1\ncamml.errors.SampleError: sample 'a': too long"
    )
    assert str(in_one_line(wrapped)) == "sample 'a': too long"
    assert str(in_one_line(ImageError("plain"))) == "plain"
