"""The features of images that a frozen vision tower gives, computed once for each distinct image."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers.image_processing_utils import BaseImageProcessor

from camml.arrays import ArrayCache
from camml.durable import digest, disk_errors, write_file
from camml.errors import ImageError, OptionError
from camml.images import ImageSource
from camml.model import CamMLProcessor, LlavaPartsConfig

VERSION = 1
"""Of what is computed; another one makes all that is kept invalid."""

ABOUT = "about.json"
TIME_RESOLUTION = 2_000_000_000  # nanoseconds after which a change of a file shows in its time


def fingerprint(tower: nn.Module, config: LlavaPartsConfig, processor: CamMLProcessor) -> dict[str, Any]:
    """Return all that the features of an image depend on, besides the image."""
    return {
        "weights": weights_hash(tower.state_dict()),
        "layer": config.vision_feature_layer,
        "select": config.vision_feature_select,
        "image_size": config.image_size,
        "image_aspect_ratio": processor.processor.image_aspect_ratio,
        "image_processor": settings_of(processor.image_processor),
        "version": VERSION,
    }


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors with their names, shapes and types."""
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


class Digests:
    """The SHA-256 of image files, each read once."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def __call__(self, image: Path) -> str:
        """Return the SHA-256 of an image file, read anew when the file's size or time has changed.

        Raises:
          ImageError: it cannot be read.
        """
        try:
            status = image.stat()
            state = status.st_size, status.st_mtime_ns
            known = self._known.get(image)
            if known and known[0] == state:
                return known[1]
            content = digest(image)
        except OSError as error:
            raise ImageError(f"{image}: cannot be read ({error.strerror}); check the path") from error
        if time.time_ns() - status.st_mtime_ns > TIME_RESOLUTION:  # until then a second change could go unseen
            self._known[image] = state, content
        return content


class TowerFeatures:
    """float16[N, Lv, W] for N images, from a folder that holds them for all datasets and runs.

    Args:
      folder: of the cache; what other towers gave lies beside.
      about: a `fingerprint`.
      shape: Lv and W.
      max_bytes: of the whole folder; see `ArrayCache`.
    """

    def __init__(
        self, folder: Path, about: dict[str, Any], shape: tuple[int, int], max_bytes: int | None = None
    ) -> None:
        name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        self.about = about
        self.shape = shape
        self.cache = ArrayCache(folder / "tower" / name, folder, max_bytes)
        self.digests = Digests()

    def __call__(self, images: Sequence[ImageSource | None]) -> Tensor:
        """Return float16[N, Lv, W], zeros where there is no image.

        Raises:
          ImageError: an image is gone, or was changed after its features were computed.
        """
        features = torch.zeros(len(images), *self.shape, dtype=torch.float16)
        rows = features.numpy()
        for row, image in enumerate(images):
            if image is None:
                continue
            assert isinstance(image, Path), "only files are kept"
            array = self.cache.get(self.key(image))
            if array is None:
                self.cache.refresh()
                array = self.cache.get(self.key(image))
            if array is None:
                raise ImageError(
                    f"{image}: its features are not in {self.cache.root}; the image was changed or the cache emptied "
                    "while it was used: start again, and they are computed"
                )
            rows[row] = array
        return features

    def __contains__(self, image: Path) -> bool:
        return self.key(image) in self.cache

    def key(self, image: Path) -> str:
        """Return what tells an image file from others; see `Digests`."""
        return self.digests(image)

    def compute(
        self,
        images: Iterable[Path],
        processor: CamMLProcessor,
        tower: Callable[[Tensor], Tensor],
        *,
        batch_size: int = 32,
        workers: int = 0,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> dict[Path, ImageError]:
        """Compute and keep what is missing; each batch is kept as soon as it is there, so that nothing is done twice.

        Args:
          images: files; those of the same content are computed once.
          tower: float[N, 3, H, W] to float[N, Lv, W].
          workers: processes that decode images.
          progress: called with how many images are done, of how many that were missing.

        Returns:
          what is wrong with each image that cannot be used.

        Raises:
          DiskError: the disk is full or not writable.
        """
        missing, wrong = self._missing(images)
        if missing:
            with disk_errors(self.cache.folder):
                self.cache.folder.mkdir(parents=True, exist_ok=True)
            write_file(self.cache.folder / ABOUT, json.dumps(self.about, indent=1).encode())
        files = _Files([(key, paths[0]) for key, paths in missing.items()], processor)
        done = 0
        for batch in DataLoader(files, batch_size, num_workers=workers, collate_fn=list):
            keys = [key for key, pixels in batch if isinstance(pixels, Tensor)]
            wrong |= {path: error for key, error in batch if isinstance(error, ImageError) for path in missing[key]}
            if keys:
                ready = torch.stack([pixels for _, pixels in batch if isinstance(pixels, Tensor)])
                with torch.inference_mode():
                    features = tower(ready).to("cpu", torch.float16).numpy()
                for key, array in zip(keys, features, strict=True):
                    self.cache.put(key, _checked(array, missing[key][0], self.shape))
            done += len(batch)
            progress(done, len(missing))
        self.cache.close()
        return wrong

    def _missing(self, images: Iterable[Path]) -> tuple[dict[str, list[Path]], dict[Path, ImageError]]:
        """Return the files of each content without cached features, and the errors of files that cannot be read."""
        missing: dict[str, list[Path]] = {}
        wrong: dict[Path, ImageError] = {}
        for image in dict.fromkeys(images):
            try:
                key = self.key(image)
                if key not in self.cache:
                    missing.setdefault(key, []).append(image)
            except ImageError as error:
                wrong[image] = error
        return missing, wrong


class _Files(Dataset[tuple[str, Tensor | ImageError]]):
    """Image files as pixels, or as what is wrong with them."""

    def __init__(self, files: Sequence[tuple[str, Path]], processor: CamMLProcessor) -> None:
        self.files = files
        self.processor = processor

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[str, Tensor | ImageError]:
        key, path = self.files[number]
        try:
            pixels = self.processor.pixels([path])
            return key, pixels[0]
        except ImageError as error:
            return key, error


def _checked(array: "np.ndarray[Any, Any]", image: Path, shape: tuple[int, int]) -> "np.ndarray[Any, Any]":
    """Return `array`, if it is of the shape that the cache is for.

    Raises:
      OptionError: numbers too large for 16 bits.
    """
    assert array.shape == shape, (array.shape, shape)
    if not np.isfinite(array).all():
        raise OptionError(f"{image}: this tower's features are too large for float16; train without --feature_cache")
    return array


def settings_of(processor: BaseImageProcessor) -> dict[str, Any]:
    """Return the settings of an image processor that are not names, and are set."""
    settings = {
        key: {side: n for side, n in dict(value).items() if n is not None} if isinstance(value, Mapping) else value
        for key, value in processor.to_dict().items()
        if value is not None and not key.endswith(("_type", "_class"))
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings, sort_keys=True, default=str))
    return plain
