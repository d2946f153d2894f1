"""The picture that an entry names: a path, an address of a file, or the picture itself in an address."""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from camml import durable
from camml.errors import DiskError, ImageError
from camml.formats._faults import BadEntry, kind
from camml.formats._shards import images_beside
from camml.images.data_urls import bytes_in, is_data_url
from camml.layouts import find_picture, spellings

_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"RIFF": ".webp"}


def place(value: object, path: Path | str, images: Path) -> tuple[Path | None, str]:
    """Return the path of an image, wherever below `images` published folders may hold it, and the name if another.

    Args:
      value: what the entry has as its image.
      path: the file of the entry; a picture in an address is written beside it, or where `images` is another folder,
        there.

    Raises:
      BadEntry: it is no path of a file on a disk.
      DiskError: the picture cannot be written.
    """
    if value is None or value == "":
        return None, ""
    if not isinstance(value, str):
        raise BadEntry(f"its image is {kind(value)}; it must be the path of one image, or null")
    if is_data_url(value):
        return from_address(value, _written(path, images)), ""
    if value.lower().startswith("file://"):
        value = url2pathname(urlsplit(value).path)
    if "://" in value:
        raise BadEntry(f"its image is the address {value!r}; download it and give the path")
    check_characters("image", value)
    named = Path(os.path.join(images, value))
    there = find_picture(images, value) or named
    alike = [os.path.normpath(images / name) for name in (*spellings(value), *spellings(value.replace("\\", "/")))]
    return there, "" if os.path.normpath(there) in alike else value


def check_characters(part: str, text: str, *, nul_ok: bool = False) -> None:
    """Raise if a part of an entry has what no datastore can hold.

    Raises:
      BadEntry: it has a NUL character, or an unpaired surrogate.
    """
    if "\0" in text and not nul_ok:
        raise BadEntry(f"its {part} has a NUL character; remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadEntry(
            f"an unpaired surrogate ({text[error.start]!r}) in its {part} is not valid Unicode; retype the text"
        ) from error


def write_image(data: bytes, suffix: str, folder: Path) -> Path:
    """Return the path of an image file in `folder`, named after its content; write it unless it exists.

    Raises:
      DiskError: it cannot be written.
    """
    if not suffix[1:].isalnum():
        suffix = next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), "")
    file = folder.absolute() / f"{hashlib.sha256(data).hexdigest()[:32]}{suffix}"
    if not file.is_file() or file.stat().st_size != len(data):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DiskError(f"cannot write {folder}: {error.strerror}; name another folder of images") from error
        durable.write_file(file, data)
    return file


def from_address(address: str, folder: Path) -> Path:
    """Return the path of the picture in a data URL, written to `folder`.

    Raises:
      BadEntry: there is none in it.
      DiskError: it cannot be written.
    """
    try:
        data = bytes_in(address)
    except ImageError as error:
        raise BadEntry(f"its image cannot be read ({error}); write it to a file, and give the path") from error
    if not data:
        raise BadEntry("its image is an address that holds nothing; write it to a file, and give the path")
    return write_image(data, "", folder)


def _written(path: Path | str, images: Path) -> Path:
    beside = images_beside(path)
    if not Path(path).is_file() and images in (beside.parent, Path.cwd()):
        raise BadEntry("its image is in an address, and there is no folder beside a pipe; name a folder of images")
    return beside if beside.parent == images else images
