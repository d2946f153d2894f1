"""From what a file holds to upright RGB of 8 bits."""

from collections.abc import Callable
from typing import Any

from PIL import Image

ORIENTATION_TAG = 0x0112
BITS_TAG = 258
"""BitsPerSample of TIFF."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RANGES = (2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)
"""Largest values of the sensors there are."""
_OTHER_BYTE = {";16B": ";16L", ";16L": ";16B"}
"""Pillow reads one byte of each wide value of a color; the other order of bytes gives the other one."""
_GREY = "LA;16B"
_SCALED = ("PPM", "JPEG2000")
"""Formats whose values Pillow has brought to 16 bits already."""


def turn_upright(image: Image.Image) -> Image.Image:
    """Return the image as it is to be looked at, by what its camera noted."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # the notes of a camera are damaged, the picture is not
        return image
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image, bits: int | None = None) -> Image.Image:
    """Return the image as RGB of 8 bits, transparent parts white.

    Args:
      image: of any mode.
      bits: that its values have, where they are wider than 8 bits and this is known.
    """
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bits(image, bits)
    if _lacks_alpha(image):
        image = image.convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _lacks_alpha(image: Image.Image) -> bool:
    """Return True for a BMP whose fourth byte is 0 everywhere, as programs leave it that write no transparency."""
    return image.format == "BMP" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0)


def bits_of(image: Image.Image, said: int | None) -> int | None:
    """Return how many bits the values of an image that was just opened have, None where nothing says so.

    Args:
      image: its header is read.
      said: what a PNG says of itself.
    """
    if image.format in _SCALED:
        return 16
    if image.format == "TIFF":
        depth = image.tag_v2.get(BITS_TAG)  # type: ignore[attr-defined]
        depth = depth[0] if isinstance(depth, tuple) and depth else depth
        return depth if isinstance(depth, int) and 8 < depth < 16 else None
    return said


def in_full_range(image: Image.Image, wide: bool, bits: int | None, again: Callable[[], Image.Image]) -> Image.Image:
    """Return a colored image of 16 bits, of which Pillow keeps the upper 8, by the range that its values really have.

    A color that a PNG declares to be transparent has 16 bits, too; it becomes white here.

    Args:
      image: decoded.
      wide: it was of 16 bits in its file.
      bits: that its values have, where this is known.
      again: opens the file once more.
    """
    colors = {"RGB": 3, "RGBA": 3}.get(image.mode)
    clear = image.info.get("transparency")
    if not wide or not colors or (clear is None and (bits == 16 or _is_bright(image, colors))):
        return image
    import numpy as np

    with again() as other:
        tiles: Any = other.tile  # type: ignore[attr-defined]
        # of grey with transparency Pillow never reads the other bytes: all four of a pixel are taken for colors
        grey = any(tile.args == _GREY for tile in tiles)
        other.tile = [tile._replace(args=_swapped(tile.args)) for tile in tiles]  # type: ignore[attr-defined]
        other.load()
        seen = np.asarray(other)
    lower = seen[..., [1, 1, 1, 3]] if grey else seen
    values = np.asarray(image).astype(np.uint16) * 256 + lower
    parts = [values[..., :colors], values[..., colors:]]
    hidden = None if clear is None else (parts[0] == clear).all(axis=-1)
    scaled = [_scaled(part, bits, hidden) for part in parts if part.size]
    result = Image.fromarray(np.concatenate(scaled, axis=-1))
    result.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return result


def _is_bright(image: Image.Image, colors: int) -> bool:
    """Return True if an upper byte is above those of a sensor of 14 bits."""
    bands: Any = image.getextrema()
    return any(top > 63 for _, top in bands[:colors])


def is_wide_color(image: Image.Image) -> bool:
    """Return True if an image that was just opened has colors of 16 bits."""
    tiles: Any = getattr(image, "tile", [])
    return bool(tiles) and all(_swapped(tile.args) != tile.args for tile in tiles)


def _swapped(args: Any) -> Any:
    """Return what a decoder is told, with the other order of bytes; unchanged where values have one byte."""
    if isinstance(args, tuple):
        return (_swapped(args[0]), *args[1:]) if args else args
    if args == _GREY:
        return "RGBA"
    if not isinstance(args, str) or not args.startswith(("RGB;16", "RGBA;16", "RGBX;16")):
        return args
    native = ";16L" if Image._ENDIAN == "<" else ";16B"
    kind, order = args[:-4], args[-4:].replace(";16N", native)
    return kind + _OTHER_BYTE[order] if order in _OTHER_BYTE else args


def _to_8_bits(image: Image.Image, bits: int | None) -> Image.Image:
    """Return grey of 16 bits, 32 bits or real numbers as 8 bits.

    Real numbers are taken as [0, 1], or as [0, 255] where one is above 1; wider integers as [0, their largest]. The
    value that a PNG declares to be transparent becomes white.
    """
    import numpy as np

    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    if image.mode == "F":
        largest = float(values.max())
        return Image.fromarray(_scale(values, next((level for level in (1.0, 255.0) if largest <= level), largest)))
    clear = image.info.get("transparency")
    return Image.fromarray(_scaled(values, bits, values == clear if isinstance(clear, int) else None))


def _scaled(values: Any, bits: int | None, hidden: Any) -> Any:
    """Return wide integers as 8 bits by the range of what is seen, the rest white.

    Args:
      hidden: bool of each pixel, of those that are transparent; None where there are none.
    """
    if hidden is None or not hidden.any():
        return _scale(values, _range(values, bits))
    seen = values[~hidden]
    scaled = _scale(values, _range(seen, bits) if seen.size else 65535.0)
    scaled[hidden] = 255
    return scaled


def _range(values: Any, bits: int | None) -> float:
    """Return the value that stands for full light: what a file says, or the smallest usual one that holds all values.

    Values of 8 bits that were spread over 16 are multiples of 257, and keep their range however dark they are.
    """
    largest = float(values.max())
    if bits and 8 <= bits <= 16 and largest <= 2**bits - 1:
        return float(2**bits - 1)
    if bits or largest > _RANGES[-2] or not (values % 257).any():
        return max(65535.0, largest)
    return float(next((level for level in _RANGES if largest <= level), largest))


def _scale(values: Any, top: float) -> Any:
    import numpy as np

    return (values.clip(0, top) * (255.0 / top) + 0.5).astype(np.uint8)
