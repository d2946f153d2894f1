"""HEIC and AVIF pictures, which Pillow reads only where a library for them is installed."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO

from PIL import Image, features

_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_START = 64


def missing(stream: BinaryIO) -> str | None:
    """Return the name of a picture's format and the command that lets Pillow read it; None where it can already.

    Args:
      stream: at its start, where it is left.
    """
    start = stream.read(_START)
    stream.seek(0)
    if start[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(start[:4]), _START)
    if start[8:12] in _AVIF or any(brand in start[8:length] for brand in _AVIF):
        return None if "AVIF" in Image.OPEN and features.check("avif") else "AVIF: pip install 'pillow>=11.3'"
    if start[8:12] not in _HEIC:
        return None
    return None if _register() else "HEIC: pip install pillow-heif"


@cache
def _register() -> bool:
    """Return whether there is a plug-in for HEIC, and make it known to Pillow."""
    if "HEIF" in Image.OPEN:
        return True
    if find_spec("pillow_heif") is None:
        return False
    try:
        plugin: Any = import_module("pillow_heif")
        plugin.register_heif_opener()
    except (ImportError, OSError):  # its library does not load on this machine
        return False
    return "HEIF" in Image.OPEN
