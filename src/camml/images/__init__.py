"""Images from anywhere, as RGB in memory: told by content, measured before they are decoded, turned upright."""

import io
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from PIL import Image, UnidentifiedImageError

from camml.errors import ImageError
from camml.images import _captions, _heif, _jpeg, _pixels, _png
from camml.images._shapes import cuts_middle as cuts_middle
from camml.images._shapes import mean_color as mean_color
from camml.images._shapes import middle_of_strip as middle_of_strip
from camml.images._shapes import pad_to_square as pad_to_square
from camml.images._web import MAX_DOWNLOAD as MAX_DOWNLOAD
from camml.images._web import ascii_url as ascii_url
from camml.images._web import read_url as read_url
from camml.pillow import quiet_pillow

MAX_PIXELS = 64_000_000
"""The largest image that is decoded; a 50-megapixel photo passes, a decompression bomb does not."""

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM")
"""What is opened. EPS is left out because it runs a program, ICO because it hides the size of what it holds."""

AT_ONCE = 8
"""The most images that one call works on at a time."""

ImageSource = Path | str | bytes | Image.Image
Item = TypeVar("Item")
Made = TypeVar("Made")

_NAMES_OF_FORMATS = "PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF, HEIC, JPEG 2000 or PPM"
_logger = logging.getLogger("camml")


def open_image(source: ImageSource, *, max_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the image in a file, at an http(s) address, in bytes or in memory, as upright RGB.

    Transparent parts become white, 16-bit values are scaled to 8 bits by the range that they really have, and of an
    animation the first frame is taken, with a notice in the log; so is a JPEG that lacks nothing but its end.

    Args:
      source: a path, an address (`str` only), the bytes of an image file, or an image.
      max_side: shrink to at most so many pixels on the longer side; a JPEG is then decoded at a fraction of its size.
      max_pixels: a larger image is refused before it is decoded.
    Raises:
      ImageError: it is missing, no image, damaged, or has more than `max_pixels` pixels.

    Example:
      >>> image = open_image(Image.new("L", (80, 40)), max_side=20)
      >>> image.mode, image.size
      ('RGB', (20, 10))
    """
    with quiet_pillow():
        if isinstance(source, Image.Image):
            return _decode(source, "the image in memory", max_side, max_pixels)
        name, stream = _stream(source)
        with stream:
            try:
                return _read(stream, name, max_side, max_pixels)
            except _CutShort as error:
                whole = _jpeg.with_end(_rewound(stream).read(_jpeg.LARGEST + 1))
                if whole is None:
                    raise error.reason from error
            _logger.warning("%s: lacks its end, but no pixel; it is used as it is", name)
            return _read(io.BytesIO(whole), name, max_side, max_pixels)


def format_of(data: bytes) -> str:
    """Return the name that Pillow gives to the format of an image file, such as "JPEG".

    Raises:
      ImageError: it is no image, or damaged.

    Example:
      >>> format_of(Path("pump.jpg").read_bytes())
      'JPEG'
    """
    name = f"the image of {len(data)} bytes"
    with _identify(_without_notes(io.BytesIO(data), name)[0], name) as image:
        return str(image.format)


def each_image(work: Callable[[Item], Made], images: Sequence[Item]) -> list[Made]:
    """Return the result of `work` for each image, in order, with several threads: decoding needs no Python lock.

    An object that is there several times is worked on once, as Pillow cannot decode one image in two threads. The
    result is the same on one processor, where nothing is gained and the images are worked on one by one.
    """
    distinct = {id(image): image for image in images}
    workers = min(AT_ONCE, len(distinct), processors())
    if workers < 2:
        return [work(image) for image in images]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        made = dict(zip(distinct, pool.map(work, distinct.values()), strict=True))
    return [made[id(image)] for image in images]


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_image(path: Path) -> None:
    """Raise if `open_image` cannot read all of the file.

    Raises:
      ImageError: as `open_image`.
    """
    open_image(path, max_side=64)


def check_header(path: Path) -> None:
    """Raise if an image file cannot be read or does not begin as one; no pixel is decoded, so damage may remain.

    Raises:
      ImageError: it is missing, empty, no image, or too large.
    """
    name = _printable(path)
    with quiet_pillow(), _open_file(path) as stream, _identify(_without_notes(stream, name)[0], name) as image:
        _check_size(image, name, MAX_PIXELS)


def words_in(path: Path) -> str:
    """Return what people wrote into a picture file as its title and description (XMP, IPTC, EXIF); "" for nothing."""
    if not path.is_file():  # a pipe would keep us waiting
        return ""
    Image.init()
    with quiet_pillow():
        try:
            with path.open("rb") as stream:
                _heif.missing(stream)  # so that a plug-in which is installed is known
        except OSError:  # whoever opens the picture says so
            return ""
        return _captions.words_in(path, _readable())


def _stream(source: Path | str | bytes) -> tuple[str, BinaryIO]:
    """Open the bytes of an image file as a stream, with a name for messages."""
    if isinstance(source, bytes):
        name, data = f"the image of {len(source)} bytes", source
    elif isinstance(source, str) and "://" in source:
        name, data = source, read_url(source)
    else:
        return _printable(Path(source)), _open_file(Path(source))
    if not data:
        raise ImageError(f"{name}: is empty (0 bytes)")
    return name, io.BytesIO(data)


def _open_file(path: Path) -> BinaryIO:
    name = _printable(path)
    try:
        if path.is_dir():
            raise ImageError(f"{name}: is a folder; give the path of one image")
        if not path.exists():
            raise ImageError(f"{name}: no such image; check the path")
        if not path.is_file():
            raise ImageError(f"{name}: is not a regular file; give the path of an image")
        if not path.stat().st_size:
            raise ImageError(f"{name}: is empty (0 bytes); copy or download it again")
        return path.open("rb")
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _printable(path: Path) -> str:
    """Return a path as one line, whatever characters it has."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _identify(stream: BinaryIO, name: str) -> Image.Image:
    """Read the header of the image in a stream, without decoding a pixel."""
    Image.init()
    if lacking := _heif.missing(stream):
        kind, _, command = lacking.partition(": ")
        raise ImageError(f"{name}: is {kind}, which cannot be read here yet; run `{command}`, or save it as JPEG")
    try:
        return Image.open(stream, formats=_readable())
    except Image.DecompressionBombError as error:
        raise _too_large(name, "") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: is not an image, or is cut short; give a whole {_NAMES_OF_FORMATS} file") from error
    except Exception as error:  # a parser that meets damage raises whatever it stumbles over
        raise _damaged(name, error) from error


def _readable() -> list[str]:
    return [format for format in FORMATS if format in Image.OPEN]


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width} x {height} = ", max_pixels)
    if not width or not height:
        raise ImageError(f"{name}: has no pixels ({width} x {height})")


class _CutShort(Exception):
    """A JPEG file that cannot be decoded, perhaps only for want of its end."""

    def __init__(self, reason: ImageError) -> None:
        super().__init__()
        self.reason = reason


def _rewound(stream: BinaryIO) -> BinaryIO:
    stream.seek(0)
    return stream


def _without_notes(stream: BinaryIO, name: str) -> tuple[BinaryIO, int | None]:
    """Return the stream without a PNG's text chunks, and the bit depth that the PNG declares."""
    survey = _png.survey(stream)
    if survey is None:
        return stream, None
    if survey.chunks > _png.MOST_CHUNKS:
        raise ImageError(f"{name}: is a PNG of more than {_png.MOST_CHUNKS} pieces; save it again")
    return _png.without(stream, survey.gaps), survey.bits


def _read(stream: BinaryIO, name: str, max_side: int | None, max_pixels: int) -> Image.Image:
    """Read the image in a stream.

    Raises:
      ImageError: as `open_image`.
      _CutShort: a JPEG cannot be decoded.
    """
    stream, said = _without_notes(stream, name)
    with _identify(stream, name) as image:
        _check_size(image, name, max_pixels)
        if image.format in ("JPEG", "MPO") and _jpeg.scans(stream) > _jpeg.MOST_SCANS:
            raise ImageError(f"{name}: is a JPEG of more than {_jpeg.MOST_SCANS} scans; save it again")
        if max_side:
            image.draft(None, (2 * max_side, 2 * max_side))
        try:
            bits, wide = _pixels.bits_of(image, said), _pixels.is_wide_color(image)
            image = _load(image, name)
            image = _pixels.in_full_range(image, wide, bits, lambda: _identify(_rewound(stream), name))
        except Exception as error:  # as in `_identify`
            if image.format in ("JPEG", "MPO"):
                raise _CutShort(_damaged(name, error)) from error
            raise _damaged(name, error) from error
        return _finish(image, name, max_side, bits)


def _decode(image: Image.Image, name: str, max_side: int | None, max_pixels: int) -> Image.Image:
    """Decode an image in memory as `open_image` does."""
    _check_size(image, name, max_pixels)
    try:
        image = _load(image, name)
    except Exception as error:  # as in `_identify`
        raise _damaged(name, error) from error
    return _finish(image, name, max_side, None)


def _load(image: Image.Image, name: str) -> Image.Image:
    if image.format != "MPO" and getattr(image, "is_animated", False):  # an MPO is a photo with its preview
        _logger.warning("%s: holds several frames or pages, only the first is used", name)
    image.load()
    return image


def _finish(image: Image.Image, name: str, max_side: int | None, bits: int | None) -> Image.Image:
    try:
        image = _pixels.to_rgb(_pixels.turn_upright(image), bits)
        if max_side and max(image.size) > max_side:
            image = image.copy()
            image.thumbnail((max_side, max_side))
        return image
    except Exception as error:  # as in `_identify`
        raise _damaged(name, error) from error


def _too_large(name: str, size: str, max_pixels: int = MAX_PIXELS) -> ImageError:
    return ImageError(f"{name}: has {size}more than {max_pixels / 1e6:g} million pixels; shrink it and try again")


def _damaged(name: str, error: Exception) -> ImageError:
    reason = str(error) or type(error).__name__
    return ImageError(f"{name}: cannot be decoded, it is damaged or cut short ({reason}); copy or download it again")
