"""Hashes of what an answer depends on."""

import math
import os
from pathlib import Path

import pytest

from camml.errors import ModelFolderError, SampleError
from camml.evaluation.fingerprints import Fingerprints
from camml.json_values import digest
from camml.training import checkpoints, reports, results
from camml.types import Neighbor, Sample


def test_the_order_of_keys_does_not_matter() -> None:
    assert digest({"a": 1, "b": "é"}) == digest({"b": "é", "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file, prints = tmp_path / "a", Fingerprints()
    file.write_text("one")
    first = prints.file(file)
    assert prints.file(file) == first
    file.write_text("two")
    os.utime(file, ns=(1, 1))
    assert prints.file(file) != first
    with pytest.raises(SampleError, match="cannot be read"):
        prints.file(tmp_path / "none")


def test_a_folder_is_its_files_and_their_names(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a").write_text("x")
    first = Fingerprints().folder(tmp_path)
    (tmp_path / "one" / ".hidden").write_text("y")
    assert Fingerprints().folder(tmp_path) == first
    (tmp_path / "README.md").write_text("a card, which no answer depends on")
    assert Fingerprints().folder(tmp_path) == first
    (tmp_path / "one" / "a").rename(tmp_path / "one" / "b")
    assert Fingerprints().folder(tmp_path) != first
    with pytest.raises(ModelFolderError, match="no folder"):
        Fingerprints().folder(tmp_path / "none")


def test_what_training_keeps_beside_a_model_is_none_of_it(tmp_path: Path) -> None:
    def put(name: str, text: str = "x") -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    for name in ("config.json", "model.safetensors", "vlm_processor/tokenizer.json", "retrieval.json"):
        put(name)
    first = Fingerprints().folder(tmp_path)
    beside = (
        "checkpoint-20/optimizer.pt", "checkpoint-20/model.safetensors", f"{checkpoints.ABANDONED}20/config.json",
        f"{checkpoints.UNFINISHED}/checkpoint-40/model.safetensors", ".cache/huggingface/model.metadata", results.RUN,
        reports.PLOT, "runs/Nov30/events.out", "teacher/manifest.json", "trainer_state.json", "training_args.bin",
        "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "global_step20/zero_states.pt",
    )  # fmt: skip
    for name in beside:
        put(name)
        assert Fingerprints().folder(tmp_path) == first, name
    for name in (
        "config.json",
        "vlm_processor/tokenizer.json",
        "checkpoint-best.safetensors",
        "generation_config.json",
    ):
        put(name, "y")
        assert Fingerprints().folder(tmp_path) != first, name
        first = Fingerprints().folder(tmp_path)


def test_a_context_is_the_content_of_its_samples_in_order(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"picture")
    first, other = Sample("1", "text", tmp_path / "p"), Sample("2", "text")
    prints = Fingerprints()
    both = prints.context((Neighbor(first, 0.5), Neighbor(other, 0.4)))
    assert both[0]["image"] == prints.picture(b"picture")
    assert both[1]["image"] is None
    assert both != prints.context((Neighbor(other, 0.5), Neighbor(first, 0.4)))
    assert both == prints.context((Neighbor(first, math.nan), Neighbor(other, math.nan)))
