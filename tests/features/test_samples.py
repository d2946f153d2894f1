"""What a model makes of a sample: kept, found again, and never taken for that of another sample or model."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from camml import arrays
from camml.answering import Decoding
from camml.answering.perceiver import PerceiverAnswerer, load
from camml.errors import DiskError, ImageError, OptionError
from camml.features.samples import SampleFeatures, folder_of
from camml.model import CamMLForConditionalGeneration
from camml.types import Neighbor, Query, Sample
from tests import tiny

ROUNDING = 1e-3
"""Of the largest logit: what 16 bits between the two steps of a context may cost."""


@pytest.fixture(scope="module")
def model() -> CamMLForConditionalGeneration:
    return tiny.model()


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    return tiny.samples(tmp_path)


def kept(folder: Path, model: CamMLForConditionalGeneration, **options: object) -> SampleFeatures:
    return SampleFeatures(folder / "cache", model, tiny.processor(model.config), **options)


def contexts(samples: list[Sample]) -> list[list[Sample]]:
    """Contexts of all sorts: images and none, one and many, the same sample twice."""
    return [samples[:1], samples, [], samples[2:3], [samples[3], samples[2], samples[3]]]


def logits(model: CamMLForConditionalGeneration, given: list[list[Sample]], features: SampleFeatures | None = None):
    processor = tiny.processor(model.config)
    inputs = processor.prepare(["what is it"] * len(given), samples=given, encode_samples=features is None)
    if features:
        inputs["context_embeds"] = features.embed(given)
    with torch.no_grad():
        return model(**inputs).logits[:, -1]


class Encoded:
    """Counts the samples that go through the perceivers."""

    def __init__(self, model: CamMLForConditionalGeneration, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        encode = model.encode_samples

        def counted(ids: torch.Tensor | None = None, *rest: Any, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
            self.count += len(named["input_ids"] if ids is None else ids)
            return encode(*([] if ids is None else [ids]), *rest, **named)

        monkeypatch.setattr(model, "encode_samples", counted)


class TestLogits:
    def test_of_a_hit_are_those_of_a_miss_to_the_last_bit(self, model, samples, tmp_path, monkeypatch) -> None:
        encoded, given = Encoded(model, monkeypatch), contexts(samples)
        miss = logits(model, given, kept(tmp_path, model))
        assert encoded.count == 4
        hit = logits(model, given, kept(tmp_path, model))
        assert encoded.count == 4
        assert torch.equal(hit, miss)

    @pytest.mark.parametrize(
        "sizes",
        [
            {},
            {"perceiver_positions": False},
            {"perceiver_run_on": True, "perceiver_hidden_size": 256},
            {"perceiver_run_on": True, "perceiver_seamless": True, "perceiver_hidden_size": 256},
        ],
        ids=["places", "none", "run on", "seamless"],
    )
    def test_are_those_without_a_cache_within_the_rounding(self, sizes: dict[str, int], samples, tmp_path) -> None:
        model = tiny.model(tiny.config(**sizes))
        plain, given = logits(model, contexts(samples)), contexts(samples)
        result = logits(model, given, kept(tmp_path, model))
        torch.testing.assert_close(result, plain, atol=float(plain.abs().max()) * ROUNDING, rtol=0)
        changed = logits(model, [[samples[0]], samples[1:], [], samples[:1], samples[3:]])
        apart = (changed - plain).abs().amax(dim=1)[[1, 3, 4]]
        assert (apart > 4 * (result - plain).abs().max()).all()  # a wrong sample would show

    def test_do_not_depend_on_which_samples_were_missing(self, model, samples, tmp_path) -> None:
        features = kept(tmp_path, model)
        features.fill(samples[1:3])
        torch.testing.assert_close(
            logits(model, contexts(samples), features),
            logits(model, contexts(samples), kept(tmp_path / "other", model)),
            atol=1e-3, rtol=1e-3,
        )  # fmt: skip


class TestWhatIsAnotherSample:
    def test_one_with_another_text_or_image(self, model, samples, tmp_path) -> None:
        features = kept(tmp_path, model)
        red, green = samples[:2]
        others = [red, Sample("red", "a red squares", red.image), Sample("red", red.text, green.image),
                  Sample("red", red.text), Sample("red", "", red.image)]  # fmt: skip
        assert len({features.key(sample) for sample in others}) == len(others)
        assert features.key(Sample("other name", red.text, red.image)) == features.key(red)

    def test_one_whose_image_file_was_changed(self, model, samples, tmp_path, monkeypatch) -> None:
        logits(model, [samples[:1]], kept(tmp_path, model))
        encoded, features = Encoded(model, monkeypatch), kept(tmp_path, model)
        tiny.image(tmp_path, "red", (1, 2, 250))
        after = logits(model, [samples[:1]], features)
        assert encoded.count == 1
        plain = logits(model, [samples[:1]])
        torch.testing.assert_close(after, plain, atol=float(plain.abs().max()) * ROUNDING, rtol=0)

    @pytest.mark.parametrize(
        "part",
        ["vlm.vision_tower", "vlm.projector", "context_perceiver.text_in", "context_perceiver.vision_perceiver",
         "context_perceiver.word_position", "vlm.language_model.model.embed_tokens"],
    )  # fmt: skip
    def test_one_for_another_model(self, part: str, model, samples, tmp_path, monkeypatch) -> None:
        kept(tmp_path, model).fill(samples)
        other = tiny.model()
        with torch.no_grad():
            for name, parameter in other.named_parameters():
                if name.startswith(part):
                    parameter += 0.01
        encoded, features = Encoded(other, monkeypatch), kept(tmp_path, other)
        result = logits(other, contexts(samples), features)
        assert encoded.count == 4
        plain = logits(other, contexts(samples))
        torch.testing.assert_close(result, plain, atol=float(plain.abs().max()) * ROUNDING, rtol=0)

    def test_not_for_a_model_that_differs_in_what_reads_the_context_alone(self, model, samples, tmp_path) -> None:
        kept(tmp_path, model).fill(samples)
        other = tiny.model()
        with torch.no_grad():
            other.vlm.language_model.lm_head.weight.add_(0.1)
            other.context_perceiver.vision_queries.add_(0.1)
        assert kept(tmp_path, other).fill(samples) == 0


class TestFilling:
    def test_goes_on_where_it_stopped_and_says_how_far_it_is(self, model, samples, tmp_path) -> None:
        seen: list[int] = []

        def stop(done: int) -> None:
            seen.append(done)
            if done == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            kept(tmp_path, model).fill(samples, stop, batch_size=2)
        assert kept(tmp_path, model).fill(samples, seen.append, batch_size=2) == 2
        assert kept(tmp_path, model).fill(samples) == 0
        assert seen == [2, 2, 4]

    def test_names_an_image_that_cannot_be_used(self, model, samples, tmp_path) -> None:
        (tmp_path / "green.png").write_text("no image")
        with pytest.raises(ImageError, match=r"green\.png: is not an image"):
            kept(tmp_path, model).fill(samples)

    def test_another_model_with_the_same_tower_needs_no_tower(self, model, samples, tmp_path, monkeypatch) -> None:
        kept(tmp_path, model).fill(samples)
        other = tiny.model()
        with torch.no_grad():
            other.context_perceiver.image_in.weight.mul_(1.1)
        monkeypatch.setattr(other.vlm, "tower_features", None)
        assert kept(tmp_path, other).fill(samples) == 4


class TestTheFolder:
    def test_may_be_deleted_while_it_is_used(self, model, samples, tmp_path) -> None:
        features = kept(tmp_path, model)
        before = logits(model, contexts(samples), features)
        shutil.rmtree(tmp_path / "cache")
        torch.testing.assert_close(logits(model, contexts(samples), features), before, atol=1e-3, rtol=1e-3)
        fresh = kept(tmp_path, model)
        torch.testing.assert_close(logits(model, contexts(samples), fresh), before, atol=1e-3, rtol=1e-3)

    def test_may_be_on_a_full_disk(self, model, samples, tmp_path, monkeypatch, caplog) -> None:
        def full(file: object, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        before = logits(model, contexts(samples), kept(tmp_path / "other", model))
        monkeypatch.setattr(arrays, "_append", full)
        result = logits(model, contexts(samples), kept(tmp_path, model))
        torch.testing.assert_close(result, before, atol=float(before.abs().max()) * ROUNDING, rtol=0)
        assert "not kept" in caplog.text

    @pytest.mark.parametrize("part", ["samples", "tower"])
    def test_may_be_where_no_folder_can_be_made(self, part, model, samples, tmp_path, caplog) -> None:
        """As in a datastore that this user may only read, whose cache was made for another model."""
        before = logits(model, contexts(samples), kept(tmp_path / "other", model))
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / part).write_text("no folder")  # root may write into any
        result = logits(model, contexts(samples), kept(tmp_path, model))
        torch.testing.assert_close(result, before, atol=float(before.abs().max()) * ROUNDING, rtol=0)
        assert "not kept" in caplog.text
        if part == "samples":
            with pytest.raises(DiskError, match=r"cannot write .*samples"):
                kept(tmp_path, model).fill(samples)

    def test_keeps_its_bound(self, model, tmp_path) -> None:
        features = kept(tmp_path, model, max_bytes=40_000)
        features.fill(Sample(str(n), f"the capital of France is Paris {n}") for n in range(200))
        assert features.cache.size() <= 40_000
        assert 5 < len(kept(tmp_path, model).cache) < 200

    def test_of_a_datastore_is_found_where_it_is(self, tmp_path) -> None:
        assert folder_of(None) is None
        assert folder_of(str(tmp_path)) is None
        (tmp_path / "cache").mkdir()
        assert folder_of(str(tmp_path)) == tmp_path / "cache"


class TestAnswering:
    @pytest.mark.long
    def test_gives_the_same_answers_with_and_without(self, camml_folder: Path, samples, tmp_path, monkeypatch) -> None:
        queries = [Query("what is it", samples[0].image), Query("and this"), Query("which colour")]
        given = [tuple(Neighbor(sample, 1.0) for sample in context) for context in contexts(samples)[:3]]
        plain = load(camml_folder).answer(queries, given, Decoding(6))
        answerer = load(camml_folder, cache=tmp_path / "cache", cache_gb=1)
        assert [p.text for p in answerer.answer(queries, given, Decoding(6))] == [p.text for p in plain]
        again = load(camml_folder, cache=tmp_path / "cache")
        encoded = Encoded(again.model, monkeypatch)
        assert [p.text for p in again.answer(queries, given, Decoding(6))] == [p.text for p in plain]
        assert "".join(again.stream(queries[1], given[1], Decoding(6))).strip() == plain[1].text
        assert encoded.count == 0
        assert [p.notes for p in answerer.answer(queries, given)] == [p.notes for p in plain]
        assert again.in_style("official").cached is again.cached

    def test_without_samples_touches_nothing(self, camml_folder: Path, tmp_path) -> None:
        answerer: PerceiverAnswerer = load(camml_folder, cache=tmp_path / "cache")
        answerer.answer([Query("hello")], [()], Decoding(2))
        assert not (tmp_path / "cache").exists()

    def test_a_cache_with_no_room_is_an_error(self, camml_folder: Path, tmp_path) -> None:
        with pytest.raises(OptionError, match=r"a cache of 0 GB is too small; give at least 0\.1"):
            load(camml_folder, cache=tmp_path, cache_gb=0)
