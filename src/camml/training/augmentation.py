"""Pictures changed as another photograph of the same thing differs: turned, mirrored, cut off, on another ground."""

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from camml.arrays import ArrayCache
from camml.encoders import Encoder, Vectors
from camml.images import open_image
from camml.progress import Progress

SIDE = 280
"""Pixels on both sides of a changed picture."""

TURNED, MIRRORED, CUT_OFF, BRIGHTER = 0.5, 0.3, 0.25, 0.3
"""Shares of the pictures to which each of these happens."""

LARGEST_TURN = 60
"""Degrees, to either side."""

EVEN_SHARE, EVEN_STEP = 0.9, 12
"""A picture has an even ground if this share of the pixels at its edge differs by less than this from their median."""

TOLERANCE = 40
"""By how much, summed over the three colours, a pixel of the ground may differ from the corner it is reached from."""

SMALLEST_THING = 0.02
"""Share of a picture; what is left of a smaller thing when its ground is cut away is taken with its ground instead."""

BATCH = 64
"""Pictures that are changed and embedded together."""

_MARK = (1, 254, 3)


def changed(image: Image.Image, another: Callable[[], Image.Image], rng: Random) -> Image.Image:
    """Return a picture of the same thing, `SIDE` × `SIDE` in RGB, as another photograph might show it.

    Where the ground is even, the thing is cut out of it; otherwise the whole picture is laid on the new ground.

    Args:
      another: gives a picture of something else, of which the new ground may be a part.

    Example:
      >>> red, blue = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (40, 30), "blue")
      >>> changed(red, lambda: blue, Random(1)).size
      (280, 280)
    """
    thing = image.convert("RGB")
    thing.thumbnail((SIDE, SIDE))
    mask = _mask(thing)
    if rng.random() < TURNED:
        angle = rng.uniform(-LARGEST_TURN, LARGEST_TURN)
        thing = thing.rotate(angle, Image.Resampling.BICUBIC, expand=True)
        mask = mask.rotate(angle, expand=True)
    if rng.random() < MIRRORED:
        thing, mask = ImageOps.mirror(thing), ImageOps.mirror(mask)
    box = mask.getbbox()
    thing, mask = thing.crop(box), mask.crop(box)
    part = rng.uniform(1.05, 1.4) if rng.random() < CUT_OFF else rng.uniform(0.6, 1.0)
    scale = part * SIDE / max(thing.size)
    size = max(1, round(thing.width * scale)), max(1, round(thing.height * scale))
    picture = _ground(another, rng)
    place = round((SIDE - size[0]) * rng.random()), round((SIDE - size[1]) * rng.random())
    picture.paste(thing.resize(size), place, mask.resize(size))
    if rng.random() < BRIGHTER:
        factor = rng.uniform(0.75, 1.3)
        picture = picture.point(lambda value: min(255, round(value * factor)))
    return picture


def _mask(image: Image.Image) -> Image.Image:
    """Return the mask of a thing on an even ground, or of the whole picture where there is none."""
    whole = Image.new("L", image.size, 255)
    pixels = np.asarray(image, np.int16)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if (np.abs(edge - np.median(edge, axis=0)).max(axis=1) < EVEN_STEP).mean() <= EVEN_SHARE:
        return whole
    marked, (right, bottom) = image.copy(), (image.width - 1, image.height - 1)
    for corner in ((0, 0), (right, 0), (0, bottom), (right, bottom)):
        ImageDraw.floodfill(marked, corner, _MARK, thresh=TOLERANCE)
    thing = (np.asarray(marked) != _MARK).any(axis=2)
    return Image.fromarray(thing.astype(np.uint8) * 255) if thing.mean() > SMALLEST_THING else whole


def _ground(another: Callable[[], Image.Image], rng: Random) -> Image.Image:
    """Return one colour, a part of another picture, sharp or blurred, or patches of random colours."""
    sort = rng.random()
    if sort < 0.25:
        return Image.new("RGB", (SIDE, SIDE), tuple(rng.randrange(256) for _ in range(3)))
    if sort < 0.65:
        other, share = another().convert("RGB"), rng.uniform(0.2, 0.6)
        width, height = max(1, round(other.width * share)), max(1, round(other.height * share))
        left, top = rng.randint(0, other.width - width), rng.randint(0, other.height - height)
        part = other.crop((left, top, left + width, top + height)).resize((SIDE, SIDE))
        return part.filter(ImageFilter.GaussianBlur(rng.choice((0, 3, 8))))
    cells, darkest = rng.choice((3, 6, 12)), rng.uniform(0, 0.6)
    bright = np.frombuffer(rng.randbytes(cells * cells * 3), np.uint8).reshape(cells, cells, 3) / 255
    patches = Image.fromarray((255 * (darkest + (1 - darkest) * bright)).astype(np.uint8))
    return patches.resize((SIDE, SIDE), rng.choice((Image.Resampling.NEAREST, Image.Resampling.BICUBIC)))


def embed_changed(
    encoder: Encoder,
    pictures: Mapping[str, Path],
    copies: int,
    *,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> list[Vectors]:
    """Return `copies` arrays float32[N, A] with the vectors of N pictures, changed anew for each array.

    What is changed depends on the seed, the picture's id and the number of the copy alone.

    Args:
      pictures: files by the ids of samples; other ones of them serve as grounds.
      cache: a folder that keeps finished vectors, in 16 bits, so that a run that was stopped goes on where it was.
      progress: told the number of pictures embedded.

    Raises:
      ImageError: a picture cannot be read.
      DiskError: `cache` cannot be written.
    """
    known = ArrayCache(cache) if cache is not None else None
    files = sorted(pictures.values())
    jobs = [(name, copy) for copy in range(copies) for name in pictures]
    vectors: dict[tuple[str, int], Vectors] = {}

    def key(name: str, copy: int) -> str:
        return f"{encoder.revision}|{seed}|{copy}|{name}|{pictures[name]}"

    def draw(job: tuple[str, int]) -> Image.Image:
        rng = Random(f"{seed}|{job[1]}|{job[0]}")
        return changed(open_image(pictures[job[0]]), lambda: open_image(rng.choice(files)), rng)

    for start in range(0, len(jobs), BATCH):
        part = jobs[start : start + BATCH]
        cached = {job: known.get(key(*job)) for job in part} if known is not None else {}
        vectors |= {job: np.asarray(array, np.float32) for job, array in cached.items() if array is not None}
        missing = [job for job in part if job not in vectors]
        if missing:
            vectors |= zip(missing, encoder.embed_images([draw(job) for job in missing]), strict=True)
        if known is not None:
            for job in missing:
                known.put(key(*job), vectors[job].astype(np.float16))
        if progress:
            progress(min(start + BATCH, len(jobs)), len(jobs))
    return [np.stack([vectors[name, copy] for name in pictures]) for copy in range(copies)]
