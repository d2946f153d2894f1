"""Pictures of a thing: one for the datastore, and one to ask about, changed as a second photograph would be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from camml.factpix.catalog import SIDE
from camml.ownpix.cutouts import trimmed

STORED = "stored"
CHANGES = ("background", "cropped", "mirrored", "rotated")
"""What is done to the thing in the question's picture, beside another background, which all have."""

Color = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ThingPicture:
    """A thing on a ground.

    Attributes:
      file: the drawing.
      change: `STORED`, or one of `CHANGES`.
      seed: of grounds and angles; the same for all pictures of a thing.
      scenes: landscapes that may be behind it.
    """

    file: Path
    change: str
    seed: str
    scenes: tuple[Path, ...]

    def png(self) -> bytes:
        """Return the picture as PNG, `SIDE` pixels on both sides."""
        thing = trimmed(self.file)
        rng = Random(f"{self.seed}|{self.change}")
        if self.change == "mirrored":
            thing = ImageOps.mirror(thing)
        if self.change == "rotated":
            angle = rng.choice((-1, 1)) * rng.uniform(15, 50)
            thing = thing.rotate(angle, Image.Resampling.BICUBIC, expand=True)
            thing = thing.crop(thing.getchannel("A").getbbox())
        picture = self._put(thing, rng)
        buffer = BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()

    def _put(self, thing: Image.Image, rng: Random) -> Image.Image:
        """Return the thing on its ground; where it is cropped, a part of it lies outside."""
        cropped = self.change == "cropped"
        part = rng.uniform(1.15, 1.35) if cropped else rng.uniform(0.7, 0.92)
        scale = part * SIDE / max(thing.size)
        small = thing.resize((max(1, round(thing.width * scale)), max(1, round(thing.height * scale))))
        picture = self._ground()
        margins = [SIDE - small.width, SIDE - small.height]
        at = [round(space * rng.uniform(0.1, 0.9)) if space else 0 for space in margins]
        picture.paste(small, (at[0], at[1]), small)
        return picture

    def _ground(self) -> Image.Image:
        """Return the ground: the question's is of another kind than the stored one."""
        rng = Random(f"{self.seed}|grounds")
        kinds = sorted(GROUNDS) if self.scenes else sorted(set(GROUNDS) - {"scene"})
        stored = rng.choice(("plain", "plain", *kinds))
        kind = stored if self.change == STORED else rng.choice([other for other in kinds if other != stored])
        return GROUNDS[kind](Random(f"{self.seed}|{self.change}|{kind}"), self.scenes)


def _plain(rng: Random, scenes: Sequence[Path]) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), (255, 255, 255) if rng.random() < 0.6 else _pale(rng))


def _gradient(rng: Random, scenes: Sequence[Path]) -> Image.Image:
    ramp = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize((SIDE, SIDE))
    return ImageOps.colorize(ramp, _pale(rng), _deep(rng)).convert("RGB")


def _stripes(rng: Random, scenes: Sequence[Path]) -> Image.Image:
    width, picture = rng.randint(14, 40), Image.new("RGB", (SIDE * 2, SIDE * 2), _pale(rng))
    draw, color = ImageDraw.Draw(picture), _pale(rng)
    for left in range(0, SIDE * 2, width * 2):
        draw.rectangle((left, 0, left + width - 1, SIDE * 2), fill=color)
    turned = picture.rotate(rng.choice((0, 30, 45, 90)), Image.Resampling.BILINEAR)
    return turned.crop((SIDE // 2, SIDE // 2, SIDE // 2 + SIDE, SIDE // 2 + SIDE))


def _checks(rng: Random, scenes: Sequence[Path]) -> Image.Image:
    side, picture = rng.randint(16, 44), Image.new("RGB", (SIDE, SIDE), _pale(rng))
    draw, color = ImageDraw.Draw(picture), _pale(rng)
    for row in range(0, SIDE, side):
        for column in range(0, SIDE, side):
            if (row + column) // side % 2:
                draw.rectangle((column, row, column + side - 1, row + side - 1), fill=color)
    return picture


def _speckled(rng: Random, scenes: Sequence[Path]) -> Image.Image:
    grain = Image.frombytes("L", (SIDE // 2, SIDE // 2), rng.randbytes((SIDE // 2) ** 2))
    soft = grain.resize((SIDE, SIDE)).filter(ImageFilter.GaussianBlur(rng.choice((1, 2, 4))))
    return ImageOps.colorize(ImageOps.autocontrast(soft), _deep(rng), _pale(rng)).convert("RGB")


def _scene(rng: Random, scenes: Sequence[Path]) -> Image.Image:
    with Image.open(rng.choice(scenes)) as image:
        whole = image.convert("RGB")
    side = round(min(whole.size) * rng.uniform(0.5, 0.95))
    left, top = rng.randint(0, whole.width - side), rng.randint(0, whole.height - side)
    return whole.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))


def _pale(rng: Random) -> Color:
    return (rng.randint(185, 250), rng.randint(185, 250), rng.randint(185, 250))


def _deep(rng: Random) -> Color:
    return (rng.randint(60, 170), rng.randint(60, 170), rng.randint(60, 170))


GROUNDS: Mapping[str, Callable[[Random, Sequence[Path]], Image.Image]] = {
    "checks": _checks,
    "gradient": _gradient,
    "plain": _plain,
    "scene": _scene,
    "speckled": _speckled,
    "stripes": _stripes,
}
"""What may be behind a thing."""
