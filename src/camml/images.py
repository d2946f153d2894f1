"""Images from anywhere, as RGB in memory: told by content, measured before they are decoded, turned upright."""

import http.client
import io
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from PIL import Image, UnidentifiedImageError

from camml.errors import ImageError
from camml.pillow import quiet_pillow

MAX_PIXELS = 64_000_000
"""The largest image that is decoded; a 50-megapixel photo passes, a decompression bomb does not."""

MAX_DOWNLOAD = 32 * 2**20
"""Bytes of the largest download."""

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""What is opened. EPS is left out because it runs a program, ICO because it hides the size of what it holds."""

AT_ONCE = 8
"""The most images that one call works on at a time."""

ImageSource = Path | str | bytes | Image.Image
Item = TypeVar("Item")
Made = TypeVar("Made")

_NAMES_OF_FORMATS = "PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF, JPEG 2000 or PPM"
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_logger = logging.getLogger("camml")


def open_image(source: ImageSource, *, max_side: int | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The image in a file, at an http(s) address, in bytes or in memory, as upright RGB.

    Transparent parts become white, 16-bit values are scaled to 8 bits, and of an animation the first frame is taken,
    with a notice in the log.

    Args:
      source: a path, an address (`str` only), the bytes of an image file, or an image.
      max_side: shrink to at most so many pixels on the longer side; a JPEG is then decoded at a fraction of its size.
      max_pixels: a larger image is refused before it is decoded.
    Raises:
      ImageError: it is missing, no image, damaged, or has more than `max_pixels` pixels.
    """
    with quiet_pillow():
        if isinstance(source, Image.Image):
            return _decode(source, "the image in memory", max_side, max_pixels)
        name, stream = _stream(source)
        with stream, _identify(stream, name) as image:
            _check_size(image, name, max_pixels)
            if max_side:
                image.draft(None, (2 * max_side, 2 * max_side))
            return _decode(image, name, max_side, max_pixels)


def each_image(work: Callable[[Item], Made], images: Sequence[Item]) -> list[Made]:
    """What `work` makes of each image, in order, several at a time: decoding and resizing need no lock of Python's.

    The result is the same on one processor, where nothing is gained and the images are worked on one by one.
    """
    workers = min(AT_ONCE, len(images), processors())
    if workers < 2:
        return [work(image) for image in images]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, images))


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_image(path: Path) -> None:
    """Nothing, if `open_image` can read all of the file.

    Raises:
      ImageError: as `open_image`.
    """
    open_image(path, max_side=64)


def mean_color(mean: Sequence[float]) -> tuple[int, ...]:
    """The mean of an image processor, each in [0, 1], as a colour; cut to integers, not rounded.

    Source: LLaVA, `image_aspect_ratio` "pad".
    """
    return tuple(int(value * 255) for value in mean)


def pad_to_square(image: Image.Image, color: tuple[int, ...]) -> Image.Image:
    """`image` in the middle of a square of `color`; where that is between two pixels, the upper or left one.

    Raises:
      ImageError: so narrow a strip that its square would hold more than four times `MAX_PIXELS`.
    """
    width, height = image.size
    side = max(width, height)
    if width == height:
        return image
    if side * side > 4 * MAX_PIXELS:
        raise ImageError(
            f"an image of {width} x {height} pixels is too long a strip to be padded to a square; "
            f"cut or shrink it to at most {int((4 * MAX_PIXELS) ** 0.5)} pixels on its longer side"
        )
    square = Image.new(image.mode, (side, side), color)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def read_url(url: str, *, timeout: float = 20.0, max_bytes: int = MAX_DOWNLOAD) -> bytes:
    """What is at an http or https address, redirections followed to such addresses only.

    Args:
      url: the address.
      timeout: seconds without an answer, and also in all.
      max_bytes: the most that is downloaded.
    Raises:
      ImageError: another kind of address, no answer, an answer other than success, or too large.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise ImageError(f"{url}: not an http or https address; download it and give the path of the file")
    deadline = time.monotonic() + timeout
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "camml", "Accept": "image/*"})
        with _web().open(request, timeout=timeout) as answer:
            return _download(answer, url, deadline, max_bytes)
    except urllib.error.HTTPError as error:
        raise ImageError(f"{url}: the server answers {error.code} {error.reason}; check the address") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise ImageError(f"{url}: cannot be downloaded ({reason}); check the address and the network") from error


def _web() -> urllib.request.OpenerDirector:
    """A client that speaks HTTP alone: urllib's own would follow a redirection to FTP."""
    client = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        client.add_handler(handler())
    return client


def _download(answer: BinaryIO, url: str, deadline: float, max_bytes: int) -> bytes:
    """The body of an answer, in pieces, so that neither its size nor its slowness is the server's choice."""
    body = bytearray()
    while piece := answer.read1(2**16):  # type: ignore[attr-defined]
        body += piece
        if len(body) > max_bytes:
            raise ImageError(f"{url}: larger than the limit of {max_bytes / 2**20:g} MB; download and shrink it")
        if time.monotonic() > deadline:
            raise TimeoutError("too slow")
    return bytes(body)


def _stream(source: Path | str | bytes) -> tuple[str, BinaryIO]:
    """A name for messages, and the bytes of an image file as a stream."""
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
    """A path as one line, whatever characters it has."""
    return str(path) if str(path).isprintable() else repr(str(path))


def _identify(stream: BinaryIO, name: str) -> Image.Image:
    """The image in a stream, its header read and no pixel decoded."""
    Image.init()
    try:
        return Image.open(stream, formats=[format for format in FORMATS if format in Image.OPEN])
    except Image.DecompressionBombError as error:
        raise _too_large(name, "") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: is not an image, or is cut short; give a whole {_NAMES_OF_FORMATS} file") from error
    except Exception as error:  # a parser that meets damage raises whatever it stumbles over
        raise _damaged(name, error) from error


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise _too_large(name, f"{width} x {height} = ", max_pixels)
    if not width or not height:
        raise ImageError(f"{name}: has no pixels ({width} x {height})")


def _decode(image: Image.Image, name: str, max_side: int | None, max_pixels: int) -> Image.Image:
    _check_size(image, name, max_pixels)
    try:
        if image.format != "MPO" and getattr(image, "is_animated", False):  # an MPO is a photo with its preview
            _logger.warning("%s: holds several frames or pages, only the first is used", name)
        image.load()
        image = _to_rgb(_turn_upright(image))
        if max_side and max(image.size) > max_side:
            image = image.copy()
            image.thumbnail((max_side, max_side))
        return image
    except Exception as error:  # as above
        raise _damaged(name, error) from error


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # the notes of a camera are damaged, the picture is not
        return image
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits, 32 bits or real numbers, as 8 bits.

    Real numbers are taken as [0, 1], or as [0, 255] where one is above 1; wider integers as [0, their largest].
    """
    import numpy as np

    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    largest = float(values.max())
    levels = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    top = next((level for level in levels if largest <= level), largest)
    return Image.fromarray((values.clip(0, top) * (255.0 / top) + 0.5).astype(np.uint8))


def _too_large(name: str, size: str, max_pixels: int = MAX_PIXELS) -> ImageError:
    return ImageError(f"{name}: has {size}more than {max_pixels / 1e6:g} million pixels; shrink it and try again")


def _damaged(name: str, error: Exception) -> ImageError:
    reason = str(error) or type(error).__name__
    return ImageError(f"{name}: cannot be decoded, it is damaged or cut short ({reason}); copy or download it again")
