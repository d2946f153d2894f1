"""Samples to vectors, chunk by chunk; finished chunks outlive a kill and are not computed again.

What comes out are parts of `PART` samples, so that a datastore of any size passes through a bounded memory.
"""

import hashlib
import json
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from camml.datastore.files import write_file
from camml.datastore.passages import PassageVectors, is_compared
from camml.datastore.patches import PatchStore, patch_store
from camml.datastore.picture_files import PictureFile, picture_files
from camml.datastore.table import OnBad, refuse
from camml.durable import disk_errors
from camml.encoders import Encoder, Vectors, passage_share
from camml.errors import ImageError, StoreError
from camml.images import open_image
from camml.progress import Progress
from camml.types import Sample

AHEAD = 2
"""Batches whose images are decoded while the encoder is at work on an earlier one."""

PART = 65_536
"""Samples, rounded to whole batches, whose vectors are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """The samples that could be used, and their vectors.

    Attributes:
      text: float32[N, text_dim], one row for each sample; zeros where it has an image alone.
      image: float32[I, image_dim], one row for each sample with an image.
      image_rows: int64[I], which samples these are.
      files: of the picture of each sample, as it was when it was embedded; empty where that is not known.
    """

    samples: list[Sample]
    text: Vectors
    image: Vectors
    image_rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    files: Sequence[PictureFile | None] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The vectors of some samples; `bad` holds the rows that have none and why.

    Attributes:
      files: of the picture of each row; empty where that is not known.
    """

    text: Vectors
    image: Vectors
    bad: dict[int, str]
    files: Sequence[PictureFile | None] = ()


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
    ) -> Iterator[Embedded]:
        """Embed samples as the function `embed` does."""
        ...


def embed(
    samples: Sequence[Sample],
    encoder: Encoder,
    work: Path,
    batch_size: int,
    on_bad: OnBad = refuse,
    progress: Progress | None = None,
) -> Iterator[Embedded]:
    """Embed `samples` part by part, caching chunks of `batch_size` in the folder `work`.

    Raises:
      ImageError: an image cannot be used, and `on_bad` raises.
    """
    batches = (samples[start : start + batch_size] for start in range(0, len(samples), batch_size))

    def chunks() -> Iterator[tuple[Sequence[Sample], Chunk]]:
        done = 0
        for opened in _ahead(batches, encoder, work):
            yield opened.batch, _chunk(opened, encoder, work, on_bad, patches, texts)
            done += len(opened.batch)
            if progress:
                progress(done, len(samples))

    patches = patch_store(work.parent, encoder)
    texts = PassageVectors(encoder, work.parent) if passage_share(encoder) else None
    made = chunks()
    for _ in range(0, len(samples), part_of(batch_size)):
        yield join(islice(made, part_of(batch_size) // batch_size), encoder)


def part_of(batch_size: int) -> int:
    """Return the number of samples of one part: `PART`, rounded up to whole batches."""
    return -(-PART // batch_size) * batch_size


@dataclass(frozen=True, slots=True)
class _Opened:
    """A batch with its images in memory, or with the chunk that was kept of it.

    Attributes:
      files: of the pictures, as they were before they were opened.
      name: of the file of its chunk.
      images: by row.
    """

    batch: Sequence[Sample]
    files: Sequence[PictureFile | None] = ()
    name: str = ""
    chunk: Chunk | None = None
    images: Mapping[int, Image.Image] = field(default_factory=dict)
    bad: Mapping[int, str] = field(default_factory=dict)


def _ahead(batches: Iterator[Sequence[Sample]], encoder: Encoder, work: Path) -> Iterator[_Opened]:
    """Yield the batches in order; a thread reads and decodes files while the encoder works on earlier ones."""
    pool, waiting = ThreadPoolExecutor(1), deque[Future[_Opened]]()
    try:
        for batch in islice(batches, AHEAD):
            waiting.append(pool.submit(_find, batch, encoder, work))
        while waiting:
            opened = waiting.popleft().result()
            for batch in islice(batches, 1):
                waiting.append(pool.submit(_find, batch, encoder, work))
            yield opened
    finally:
        pool.shutdown(cancel_futures=True)


def _find(batch: Sequence[Sample], encoder: Encoder, work: Path) -> _Opened:
    """Return the cached vectors of a batch, or else its images."""
    files = picture_files(batch)
    name = f"{fingerprint(batch, files, encoder)}.npz"
    if chunk := _read(work / name):
        return _Opened(batch, name=name, chunk=replace(chunk, files=files))
    return replace(_open(batch), files=files, name=name)


def _open(batch: Sequence[Sample]) -> _Opened:
    images: dict[int, Image.Image] = {}
    bad: dict[int, str] = {}
    for row, sample in enumerate(batch):
        try:
            if sample.image:
                images[row] = open_image(sample.image)
        except ImageError as error:
            bad[row] = str(error)
    return _Opened(batch, images=images, bad=bad)


def join(chunks: Iterable[tuple[Sequence[Sample], Chunk]], encoder: Encoder) -> Embedded:
    """Join the samples of all chunks less the bad ones, and their vectors, in order."""
    embedded: list[Sample] = []
    texts = [_none(encoder.text_dim)]
    images = [_none(encoder.image_dim)]
    files: list[PictureFile | None] = []
    for batch, chunk in chunks:
        good = [row for row in range(len(batch)) if row not in chunk.bad]
        embedded += [batch[row] for row in good]
        files += [chunk.files[row] if chunk.files else None for row in good]
        texts.append(chunk.text)
        images.append(chunk.image)
    rows = np.asarray([row for row, sample in enumerate(embedded) if sample.image], dtype=np.int64)
    return Embedded(embedded, np.concatenate(texts), np.concatenate(images), rows, files)


def _chunk(
    opened: _Opened,
    encoder: Encoder,
    work: Path,
    on_bad: OnBad,
    patches: PatchStore | None = None,
    texts: PassageVectors | None = None,
) -> Chunk:
    """Return the vectors of one batch, from the cache in `work` or computed and written there."""
    report(opened.batch, opened.chunk.bad if opened.chunk else opened.bad, on_bad)
    if opened.chunk:
        return opened.chunk
    chunk = _compute(opened, encoder, patches)
    if texts is not None:  # what has no picture is searched by words alone; others are looked at when they are found
        texts.of([sample.text for sample in opened.batch if sample.image is None and is_compared(sample.text)])
    with disk_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    write_file(work, opened.name, lambda path: _write(path, chunk), durable=False)  # losing one costs its time alone
    return chunk


def compute(samples: Sequence[Sample], encoder: Encoder, batch_size: int) -> Chunk:
    """Compute the vectors of `samples`, which the encoder gets in the batches of `embed`."""
    starts = range(0, len(samples), batch_size)
    chunks = [_compute(_open(samples[start : start + batch_size]), encoder) for start in starts]
    return Chunk(
        np.concatenate([chunk.text for chunk in chunks]),
        np.concatenate([chunk.image for chunk in chunks]),
        {start + row: why for start, chunk in zip(starts, chunks, strict=True) for row, why in chunk.bad.items()},
    )


def _compute(opened: _Opened, encoder: Encoder, patches: PatchStore | None = None) -> Chunk:
    batch = opened.batch
    texts = [sample.text for row, sample in enumerate(batch) if row not in opened.bad]
    images = list(opened.images.values())
    has_text = np.array([bool(text.strip()) for text in texts], dtype=bool)
    vectors = np.zeros((len(texts), encoder.text_dim), np.float32)  # a picture alone is like no text
    vectors[has_text] = _embedded([text for text in texts if text.strip()], encoder, "text", batch)
    if patches is None or not images:
        return Chunk(vectors, _embedded(images, encoder, "image", batch), dict(opened.bad), opened.files)
    seen, parts = patches.encoder.embed_with_patches(images)
    chunk = Chunk(vectors, _checked(seen, len(images), encoder, "image", batch), dict(opened.bad), opened.files)
    patches.put(chunk.image, parts)
    return chunk


def report(batch: Sequence[Sample], bad: Mapping[int, str], on_bad: OnBad) -> None:
    """Tell of the samples of a batch that have no vectors."""
    for row, reason in bad.items():
        on_bad(batch[row], ImageError(f"sample {batch[row].id!r}: {reason}"))


def _embedded(
    items: list[str] | list[Image.Image], encoder: Encoder, modality: str, batch: Sequence[Sample]
) -> Vectors:
    """Run the encoder on `items` and check its result."""
    if not items:
        return _none(encoder.text_dim if modality == "text" else encoder.image_dim)
    vectors = encoder.embed_texts(items) if modality == "text" else encoder.embed_images(items)  # type: ignore[arg-type]
    return _checked(vectors, len(items), encoder, modality, batch)


def _checked(vectors: Vectors, count: int, encoder: Encoder, modality: str, batch: Sequence[Sample]) -> Vectors:
    """Return what an encoder gave for `count` texts or images; raise if its shape or values are not right."""
    dim = encoder.text_dim if modality == "text" else encoder.image_dim
    if vectors.shape != (count, dim) or not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        raise StoreError(
            f"encoder {encoder.name!r} did not give {count} {modality} vectors of width {dim} and length 1 for "
            f"samples {batch[0].id!r} to {batch[-1].id!r}; in half precision some models overflow: try float32"
        )
    return vectors.astype(np.float32, copy=False)


def _none(dim: int) -> Vectors:
    return np.empty((0, dim), dtype=np.float32)


def fingerprint(batch: Sequence[Sample], files: Sequence[PictureFile | None], encoder: Encoder) -> str:
    """Hash all that the vectors of a batch depend on: the encoder, the texts, and the contents of the image files."""
    unread = ["" if sample.image else None for sample in batch]
    images = [file.sha256 if file else other for file, other in zip(files, unread, strict=True)]
    parts = [encoder.name, encoder.revision, [[s.text, image] for s, image in zip(batch, images, strict=True)]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _write(path: Path, chunk: Chunk) -> None:
    with path.open("wb") as file:
        np.savez(file, text=chunk.text, image=chunk.image, bad=np.asarray(json.dumps(chunk.bad)))


def _read(path: Path) -> Chunk | None:
    """Read a cached chunk; return None where there is none, or where it is damaged, as its checksums (zip's) say."""
    try:
        with np.load(path) as arrays:
            bad = {int(row): reason for row, reason in json.loads(str(arrays["bad"])).items()}
            return Chunk(arrays["text"], arrays["image"], bad)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile):
        return None  # an empty file is an EOFError, a flag of encryption or compression a RuntimeError
