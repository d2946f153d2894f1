"""Samples to vectors, chunk by chunk; finished chunks outlive a kill and are not computed again."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from camml.datastore.files import digest, write_file
from camml.datastore.table import OnBad, refuse
from camml.durable import disk_errors
from camml.encoders import Encoder, Vectors
from camml.errors import ImageError, StoreError
from camml.images import open_image
from camml.types import Sample

Progress = Callable[[int, int], None]
"""What is called with the number of samples done and of all samples."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The samples that could be used, and their vectors.

    Attributes:
      text: float32[N, text_dim], one row for each sample.
      image: float32[I, image_dim], one row for each sample with an image.
      image_rows: int64[I], which samples these are.
    """

    samples: list[Sample]
    text: Vectors
    image: Vectors
    image_rows: np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The vectors of some samples; `bad` holds the rows that have none and why."""

    text: Vectors
    image: Vectors
    bad: dict[int, str]


class Embed(Protocol):
    """A way from samples to vectors: `embed` in this process, or another one elsewhere with the same result."""

    def __call__(
        self,
        samples: Sequence[Sample],
        encoder: Encoder,
        work: Path,
        batch_size: int,
        on_bad: OnBad = refuse,
        progress: Progress | None = None,
    ) -> Embedded:
        """As `embed`."""
        ...


def embed(
    samples: Sequence[Sample],
    encoder: Encoder,
    work: Path,
    batch_size: int,
    on_bad: OnBad = refuse,
    progress: Progress | None = None,
) -> Embedded:
    """The vectors of `samples`; chunks of `batch_size` are kept in the folder `work` and found there again.

    Raises:
      ImageError: an image cannot be used, and `on_bad` raises.
    """

    def chunks() -> Iterator[tuple[Sequence[Sample], Chunk]]:
        for start in range(0, len(samples), batch_size):
            batch = samples[start : start + batch_size]
            yield batch, _chunk(batch, encoder, work, on_bad)
            if progress:
                progress(min(start + batch_size, len(samples)), len(samples))

    return join(chunks(), encoder)


def join(chunks: Iterable[tuple[Sequence[Sample], Chunk]], encoder: Encoder) -> Embedded:
    """The samples of all chunks less the bad ones, and their vectors, in order."""
    kept: list[Sample] = []
    texts = [_none(encoder.text_dim)]
    images = [_none(encoder.image_dim)]
    for batch, chunk in chunks:
        kept += [sample for row, sample in enumerate(batch) if row not in chunk.bad]
        texts.append(chunk.text)
        images.append(chunk.image)
    rows = np.asarray([row for row, sample in enumerate(kept) if sample.image], dtype=np.int64)
    return Embedded(kept, np.concatenate(texts), np.concatenate(images), rows)


def _chunk(batch: Sequence[Sample], encoder: Encoder, work: Path, on_bad: OnBad) -> Chunk:
    """The vectors of one batch: those kept in `work`, or else computed and put there."""
    name = f"{fingerprint(batch, encoder)}.npz"
    if chunk := _read(work / name):
        for row, reason in chunk.bad.items():
            on_bad(batch[row], ImageError(f"sample {batch[row].id!r}: {reason}"))
        return chunk
    chunk = compute(batch, encoder, on_bad)
    with disk_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    write_file(work, name, lambda path: _write(path, chunk), durable=False)  # losing one costs its time alone
    return chunk


def compute(batch: Sequence[Sample], encoder: Encoder, on_bad: OnBad) -> Chunk:
    """The vectors of one batch, which the encoder gets in one piece."""
    bad: dict[int, str] = {}
    images: list[Image.Image] = []
    with ExitStack() as opened:
        for row, sample in enumerate(batch):
            try:
                images += [opened.enter_context(open_image(sample.image))] if sample.image else []
            except ImageError as error:
                bad[row] = str(error)
                on_bad(sample, ImageError(f"sample {sample.id!r}: {error}"))
        texts = [sample.text for row, sample in enumerate(batch) if row not in bad]
        return Chunk(_embedded(texts, encoder, "text", batch), _embedded(images, encoder, "image", batch), bad)


def _embedded(
    items: list[str] | list[Image.Image], encoder: Encoder, modality: str, batch: Sequence[Sample]
) -> Vectors:
    """What the encoder makes of `items`, if it keeps its promise."""
    dim = encoder.text_dim if modality == "text" else encoder.image_dim
    if not items:
        return _none(dim)
    vectors = encoder.embed_texts(items) if modality == "text" else encoder.embed_images(items)  # type: ignore[arg-type]
    if vectors.shape != (len(items), dim) or not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        raise StoreError(
            f"encoder {encoder.name!r} did not give {len(items)} {modality} vectors of width {dim} and length 1 for "
            f"samples {batch[0].id!r} to {batch[-1].id!r}; in half precision some models overflow: try float32"
        )
    return vectors.astype(np.float32, copy=False)


def _none(dim: int) -> Vectors:
    return np.empty((0, dim), dtype=np.float32)


def fingerprint(batch: Sequence[Sample], encoder: Encoder) -> str:
    """What the vectors of a batch depend on: the encoder, the texts, and what the image files hold."""

    def content(sample: Sample) -> list[str | None]:
        if sample.image is None:
            return [sample.text, None]
        try:
            return [sample.text, digest(sample.image)]
        except OSError:
            return [sample.text, ""]

    parts = [encoder.name, encoder.revision, [content(sample) for sample in batch]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _write(path: Path, chunk: Chunk) -> None:
    with path.open("wb") as file:
        np.savez(file, text=chunk.text, image=chunk.image, bad=np.asarray(json.dumps(chunk.bad)))


def _read(path: Path) -> Chunk | None:
    """A kept chunk; nothing where there is none, or one that its own checksum (zip keeps one) refuses."""
    try:
        with np.load(path) as arrays:
            bad = {int(row): reason for row, reason in json.loads(str(arrays["bad"])).items()}
            return Chunk(arrays["text"], arrays["image"], bad)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
