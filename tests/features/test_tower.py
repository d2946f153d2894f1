"""Features of images: computed once for each content, and never taken for those of another image or tower."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from camml.errors import ImageError, OptionError
from camml.features import tower
from camml.features.tower import TowerFeatures, fingerprint
from tests import tiny


@pytest.fixture(scope="module")
def model():
    return tiny.model()


class Counted:
    """The tower of a model, and how many images went through it."""

    def __init__(self, model, fail_after: int = 10**9) -> None:
        self.model, self.images, self.fail_after = model, 0, fail_after

    def __call__(self, pixels: Tensor) -> Tensor:
        if self.images >= self.fail_after:
            raise KeyboardInterrupt
        self.images += len(pixels)
        return self.model.vlm.tower_features(pixels)


def cache(folder: Path, model, **changes) -> TowerFeatures:
    about = fingerprint(model.vlm.vision_tower, model.vlm.config, tiny.processor(model.config)) | changes
    return TowerFeatures(
        folder / "cache", about, (model.vlm.config.patch_tokens, model.vlm.config.vision_config.hidden_size)
    )


def pictures(folder: Path, count: int = 5) -> list[Path]:
    return [tiny.image(folder, f"p{n}", (40 * n, 200 - 30 * n, 10 * n), (30 + n, 40)) for n in range(count)]


def age(*files: Path) -> None:
    """Let the files look as if they were written a minute ago."""
    for file in files:
        os.utime(file, (time.time() - 60,) * 2)


def test_are_those_of_the_tower_in_16_bits_and_zeros_without_image(model, tmp_path: Path) -> None:
    files, processor = pictures(tmp_path), tiny.processor(model.config)
    features, counted = cache(tmp_path, model), Counted(model)
    assert features.compute(files, processor, counted, batch_size=2) == {}
    result = features([files[3], None, files[0]])
    with torch.no_grad():
        wanted = model.vlm.tower_features(processor.pixels([files[3], files[0]])).half()
    assert result.dtype == torch.float16
    torch.testing.assert_close(result[[0, 2]], wanted, atol=1e-3, rtol=1e-3)
    assert not result[1].any()


def test_are_computed_once_for_each_content_whatever_it_is_called(model, tmp_path: Path) -> None:
    files, processor = pictures(tmp_path), tiny.processor(model.config)
    copy = tmp_path / "copy.png"
    copy.write_bytes(files[0].read_bytes())
    first, again = Counted(model), Counted(model)
    seen: list[tuple[int, int]] = []
    cache(tmp_path, model).compute([*files, copy, files[0]], processor, first, batch_size=2,
                                   progress=lambda done, total: seen.append((done, total)))  # fmt: skip
    assert first.images == 5
    assert seen == [(2, 5), (4, 5), (5, 5)]
    later = cache(tmp_path, model)
    later.compute([copy, *files], processor, again)
    assert again.images == 0
    assert torch.equal(*later([copy, files[0]]))


def test_an_interrupted_computation_goes_on_where_it_stopped(model, tmp_path: Path) -> None:
    files, processor = pictures(tmp_path), tiny.processor(model.config)
    with pytest.raises(KeyboardInterrupt):
        cache(tmp_path, model).compute(files, processor, Counted(model, fail_after=4), batch_size=2)
    rest = Counted(model)
    features = cache(tmp_path, model)
    features.compute(files, processor, rest, batch_size=2)
    assert rest.images == 1
    assert all(file in features for file in files)


def test_workers_compute_the_same(model, tmp_path: Path) -> None:
    files, processor = pictures(tmp_path), tiny.processor(model.config)
    features = cache(tmp_path, model)
    features.compute(files, processor, Counted(model), batch_size=2, workers=1)
    alone = TowerFeatures(tmp_path / "other", features.about, features.shape)
    alone.compute(files, processor, Counted(model), batch_size=2)
    assert torch.equal(features(files), alone(files))


class TestAChangedImage:
    def test_is_another_image(self, model, tmp_path: Path) -> None:
        files, processor = pictures(tmp_path), tiny.processor(model.config)
        age(*files)
        features = cache(tmp_path, model)
        features.compute(files, processor, Counted(model))
        before = features([files[0]])
        tiny.image(tmp_path, "p0", (255, 255, 0), (31, 40))
        assert files[0] not in features
        with pytest.raises(ImageError, match=r"p0\.png.*the image was changed"):
            features([files[0]])
        features.compute(files, processor, Counted(model))
        assert not torch.equal(features([files[0]]), before)

    def test_that_keeps_its_size_and_is_written_at_once_is_seen_too(self, model, tmp_path: Path) -> None:
        file = tmp_path / "p.bin"
        features = cache(tmp_path, model)
        keys = Counter[str]()
        for number in range(20):
            file.write_bytes(bytes([number] * 100))
            keys[features.key(file)] += 1
        assert len(keys) == 20

    def test_is_read_again_only_when_it_changed(self, model, tmp_path: Path, monkeypatch) -> None:
        [file] = pictures(tmp_path, 1)
        age(file)
        features = cache(tmp_path, model)
        key = features.key(file)
        monkeypatch.setattr(tower, "digest", None)
        assert features.key(file) == key


class TestTheFingerprint:
    def test_is_that_of_an_equal_model_saved_and_loaded(self, model, camml_folder: Path) -> None:
        from camml.model import CamMLForConditionalGeneration, CamMLProcessor

        loaded = CamMLForConditionalGeneration.from_pretrained(camml_folder)
        processor = CamMLProcessor.from_pretrained(camml_folder)
        mine = fingerprint(model.vlm.vision_tower, model.vlm.config, tiny.processor(model.config))
        assert fingerprint(loaded.vlm.vision_tower, loaded.vlm.config, processor) == mine

    def test_differs_in_all_that_features_depend_on(self, model) -> None:
        processor = tiny.processor(model.config)
        results = [fingerprint(model.vlm.vision_tower, model.vlm.config, processor)]
        other = tiny.model(seed=1)
        results.append(fingerprint(other.vlm.vision_tower, other.vlm.config, processor))
        results.append(fingerprint(tiny.model().vlm.vision_tower.bfloat16(), model.vlm.config, processor))
        for sizes in ({"vision_feature_layer": -1}, {"vision_feature_select": "all"}, {"image_size": 14}):
            results.append(fingerprint(model.vlm.vision_tower, tiny.config(**sizes).vlm_config, processor))
        results.append(fingerprint(model.vlm.vision_tower, model.vlm.config, tiny.processor(image_aspect_ratio="keep")))
        normal = tiny.processor()
        normal.image_processor.image_mean = [0.5, 0.5, 0.5]
        results.append(fingerprint(model.vlm.vision_tower, model.vlm.config, normal))
        texts = [str(about) for about in results]
        assert len(set(texts)) == len(texts) == 8

    def test_of_another_tower_finds_nothing(self, model, tmp_path: Path) -> None:
        files = pictures(tmp_path, 2)
        cache(tmp_path, model).compute(files, tiny.processor(model.config), Counted(model))
        other = cache(tmp_path, tiny.model(seed=1))
        assert files[0] not in other
        assert (other.cache.folder.parent / cache(tmp_path, model).cache.folder.name / "about.json").is_file()


def test_images_that_cannot_be_used_are_named_and_the_others_computed(model, tmp_path: Path) -> None:
    files, processor = pictures(tmp_path, 3), tiny.processor(model.config)
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "same.png").write_text("no image")
    bad = [tmp_path / "text.png", tmp_path / "gone.png", tmp_path / "same.png"]
    features = cache(tmp_path, model)
    wrong = features.compute([files[0], *bad, *files[1:]], processor, Counted(model), batch_size=2)
    assert set(wrong) == set(bad)
    assert "is not an image" in str(wrong[bad[0]])
    assert "gone.png" in str(wrong[bad[1]])
    assert all(file in features for file in files)


def test_numbers_too_large_for_16_bits_are_an_error(model, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"too large for float16.*without --feature_cache"):
        cache(tmp_path, model).compute(
            pictures(tmp_path, 1), tiny.processor(model.config), lambda pixels: model.vlm.tower_features(pixels) * 1e6
        )
