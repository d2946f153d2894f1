"""Runs with a cache of the tower's features: the same losses, and the tower at rest."""

import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionModel

from camml.errors import OptionError, SampleError
from camml.model import CamMLForConditionalGeneration, CamMLProcessor
from camml.training import recipes
from camml.training.train import prepare, train
from tests import tiny
from tests.training import runs

SAVED = {"save_strategy": "steps", "save_steps": 50}
TOLERANCE = 1e-4
"""Relative; features are kept in 16 bits, the pixels' way is in 32."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums in one order, so that two runs can be compared to the last bit."""
    torch.set_num_threads(1)


def trained(bench: Path, output: Path, **more: object) -> dict[int, float]:
    return runs.losses(train(recipes.parse(runs.flags(bench, output_dir=output, **SAVED, **more))))


@pytest.mark.long
def test_the_losses_are_those_without_and_the_tower_runs_for_each_image_once(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = 0
    forward = CLIPVisionModel.forward

    def counted(self: CLIPVisionModel, pixel_values: torch.Tensor, **options: object) -> object:
        nonlocal images
        images += len(pixel_values)
        return forward(self, pixel_values, **options)

    plain = trained(bench, tmp_path / "plain")
    monkeypatch.setattr(CLIPVisionModel, "forward", counted)
    cold = trained(bench, tmp_path / "cold", feature_cache=tmp_path / "cache")
    distinct = len({file.read_bytes() for file in bench.glob("picture-*.png")})
    assert images == distinct
    warm = trained(bench, tmp_path / "warm", feature_cache=tmp_path / "cache", dataloader_num_workers=1)
    assert images == distinct
    assert cold == pytest.approx(plain, rel=TOLERANCE)
    assert warm == cold


@pytest.mark.long
def test_the_side_of_images_reaches_model_processor_and_cache(bench: Path, tmp_path: Path) -> None:
    losses = trained(bench, tmp_path / "out", feature_cache=tmp_path / "cache", image_size=14, max_steps=2)
    assert len(losses) == 2
    model = CamMLForConditionalGeneration.from_pretrained(tmp_path / "out")
    processor = CamMLProcessor.from_pretrained(tmp_path / "out")
    parts = model.config.vlm_config
    assert (parts.image_size, parts.patch_tokens, processor.processor.image_tokens) == (14, 4, 4)
    assert processor.pixels([bench / "picture-0.png"]).shape == (1, 3, 14, 14)
    [about] = tmp_path.glob("cache/tower/*/about.json")
    assert json.loads(about.read_text())["image_size"] == 14
    with pytest.raises(OptionError, match=r"--image_size is 30; give a multiple of 7"):
        prepare(recipes.parse(runs.flags(bench, output_dir=tmp_path / "bad", image_size=30)))


@pytest.mark.long
def test_in_bfloat16_on_a_processor_the_features_are_those_of_a_tower_in_bfloat16(bench: Path, tmp_path: Path) -> None:
    more = {"bf16": True, "max_steps": 3, "tune": "perceiver"}
    plain = trained(bench, tmp_path / "plain", **more)
    kept = trained(bench, tmp_path / "kept", **more, feature_cache=tmp_path / "cache")
    assert kept == pytest.approx(plain, rel=2e-3)
    trained(bench, tmp_path / "float", max_steps=1, feature_cache=tmp_path / "cache")
    assert len(list(tmp_path.glob("cache/tower/*"))) == 2


class TestWhatCannotBeKept:
    def test_an_image_that_cannot_be_decoded_stops_or_is_skipped(self, tmp_path: Path) -> None:
        flags = runs.flags(tmp_path, output_dir=tmp_path / "out", icl_num=0, feature_cache=tmp_path / "cache")
        (tmp_path / "picture-4.png").write_text("no image")
        with pytest.raises(SampleError, match=r"sample 'row-4'.*picture-4\.png.*--on_bad_sample skip"):
            prepare(recipes.parse(flags))
        skipped: list[str] = []
        trainer = prepare(recipes.parse([*flags, "--on_bad_sample", "skip"]), skipped)
        assert [row.id for row in trainer.train_dataset.conversations] == [f"row-{n}" for n in range(12) if n != 4]
        assert len(skipped) == 1
        assert "row-4" in skipped[0]

    def test_an_image_of_the_datastore_that_cannot_be_decoded_is_named(self, tmp_path: Path) -> None:
        flags = runs.flags(tmp_path, output_dir=tmp_path / "out", feature_cache=tmp_path / "cache")
        (tmp_path / "picture-4.png").write_text("no image")
        with pytest.raises(SampleError, match=r"image of the datastore cannot be used.*picture-4\.png"):
            prepare(recipes.parse([*flags, "--on_bad_sample", "skip"]))

    def test_too_little_room_is_said_before_anything_is_computed(self, bench: Path, tmp_path: Path) -> None:
        flags = runs.flags(bench, output_dir=tmp_path / "out", feature_cache=tmp_path / "cache")
        with pytest.raises(OptionError, match=r"features of 8 images take 0\.0 GB.*--cache_gb 1e-06"):
            prepare(recipes.parse([*flags, "--cache_gb", "1e-6"]))
        assert not (tmp_path / "cache").exists()
        with pytest.raises(OptionError, match=r"--cache_gb is 0"):
            recipes.parse([*flags, "--cache_gb", "0"])


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", ["data parallel", "fsdp", "zero3"])
def test_two_processes_share_the_work_and_learn_the_same(kind: str, bench: Path, tmp_path: Path) -> None:
    """One row a process: in some steps one of them sees an image and the other has none."""
    if kind == "zero3" and find_spec("deepspeed") is None:
        pytest.skip("deepspeed is not installed")
    settings = tiny.config(perceiver_dropout=0.0)
    tiny.model(settings).save_pretrained(tmp_path / "start")
    tiny.processor(settings).save_pretrained(tmp_path / "start")
    sharding = {"data parallel": {}, "fsdp": {"fsdp": "True"}, "zero3": {"deepspeed": "zero3.json"}}[kind]
    fixed = {"model_name_or_path": tmp_path / "start", "vision_tower": None, "max_steps": 6, **SAVED}
    fixed |= {"group_by_modality_length": False, "feature_cache": tmp_path / "cache"}
    alone = runs.flags(bench, output_dir=tmp_path / "alone", **fixed, per_device_train_batch_size=2)
    two = runs.flags(bench, output_dir=tmp_path / "two", **fixed, per_device_train_batch_size=1, **sharding)
    runs.run(two, processes=2)
    shards = list(tmp_path.glob("cache/tower/*/*.f16"))
    assert len(shards) == 2  # one each
    before = {shard: os.path.getsize(shard) for shard in shards}
    runs.run(alone)
    assert {shard: os.path.getsize(shard) for shard in tmp_path.glob("cache/tower/*/*.f16")} == before
    assert runs.losses(tmp_path / "two") == pytest.approx(runs.losses(tmp_path / "alone"), rel=1e-5)
