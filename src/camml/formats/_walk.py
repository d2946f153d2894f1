"""The files in a folder of pictures: which there are, in which order, and how each is called."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from camml.errors import SampleError
from camml.layouts import spellings
from camml.types import UNFIT_FOR_IDS

PICTURES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"),
    *(".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
)
PDF = (".pdf",)
TEXTS = (".txt", ".md")
JSON = (".json",)
"""Endings of what stands beside a picture and tells of it: `pump.txt`, `pump.TXT` or `pump.jpg.txt`."""
PAGE = re.compile(r"[0-9a-f]{32}-\d+(-figure-\d+)?\.jpg")
"""Names of the pictures of pages and figures, which were written here and not given."""
WRITTEN = re.compile(r"[0-9a-f]{32}\.\w+")
"""Names of pictures that were written here out of a dataset, after their content, see `_images.write_image`."""
OF_WRITTEN = "-images"
"""Ending of the folders that they are written to."""

_OF_SYSTEMS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
_DATA = re.compile(r"^\d{6,}-|[*?\[{]")
"""Beginnings of the names of a datastore's files, and signs of patterns that would match them."""
_STORE = b'"format": "camml-datastore"'
_UNFIT = re.compile(rf"{UNFIT_FOR_IDS.pattern}|[%:]")


def files(root: Path, other: Callable[[str], None] = lambda name: None) -> Iterator[tuple[str, Path | SampleError]]:
    """Yield the pictures and PDF files below a folder by name, each with its path as seen from there.

    Hidden files and folders, datastores, pictures of pages and those that were written here out of a dataset into a
    folder below are passed over. A link to a folder elsewhere is followed
    once; so no loop of links is followed. In place of a folder that cannot be read comes the reason.

    Args:
      other: called with the path of each file that is neither of these, nor stands beside a picture to tell of it.
    """
    seen = {os.path.realpath(root)}
    yield from _below(root, "", os.path.realpath(root), seen, other)


def beside(name: str, endings: Sequence[str]) -> list[str]:
    """Return the names that a file which tells of a picture may have, that which is preferred first."""
    names = [(spelling, os.path.splitext(spelling)[0]) for spelling in spellings(name)]
    return [
        first
        for ending in endings
        for whole, stem in names
        for first in (whole + ending, stem + ending, stem + ending.upper())
    ]


def _below(
    folder: Path, name: str, root: str, seen: set[str], other: Callable[[str], None]
) -> Iterator[tuple[str, Path | SampleError]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield name, SampleError(f"{folder}: cannot be read ({error.strerror}); check its permissions")
        return
    if is_store(folder):
        return
    pictures = [entry.name for entry in entries if entry.name.lower().endswith(PICTURES)]
    known = {name.lower() for picture in pictures for name in beside(picture, TEXTS + JSON)}
    ours = _written_here(folder, pictures) if name else frozenset[str]()
    for entry in entries:
        path = f"{name}/{entry.name}" if name else entry.name
        if entry.name.startswith("."):
            continue
        if os.path.isdir(entry.path):
            if not entry.is_symlink() or _leads_elsewhere(entry.path, root, seen):
                yield from _below(Path(entry.path), path, root, seen, other)
        elif entry.name.lower().endswith(PICTURES + PDF):
            if not PAGE.fullmatch(entry.name) and entry.name not in ours:
                yield path, Path(entry.path)
        elif entry.name.lower() not in known and entry.name.lower() not in _OF_SYSTEMS:
            other(path)


def _written_here(folder: Path, pictures: Sequence[str]) -> frozenset[str]:
    """Return which pictures of a folder were written here out of a dataset.

    Others may be called alike, so the content of some must be what their names say.
    """
    alike = [name for name in pictures if WRITTEN.fullmatch(name)] if folder.name.endswith(OF_WRITTEN) else []
    return frozenset(alike if any(_is_named_by_content(folder / name) for name in alike[:3]) else ())


def _is_named_by_content(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest().startswith(file.stem)
    except OSError:
        return False


def _leads_elsewhere(link: str, root: str, seen: set[str]) -> bool:
    """Return whether a link leads to a folder that is not come upon otherwise."""
    real = os.path.realpath(link)
    if real in seen or Path(real).is_relative_to(root) or Path(root).is_relative_to(real):
        return False
    seen.add(real)
    return True


def is_store(folder: Path) -> bool:
    """Return whether a folder is that of a datastore."""
    try:
        with (folder / "manifest.json").open("rb") as file:
            return _STORE in file.read(200)
    except OSError:
        return False


def refuse_store(path: Path) -> None:
    """Raise if a path is the folder of a datastore, or data or a pattern of data in one.

    Its files hold removed samples too, and say not where pictures are.

    Raises:
      SampleError: the path is a datastore, or data of one.
    """
    if is_store(path):
        what, store = "", path
    elif _DATA.search(path.name) and is_store(store := Path(os.path.realpath(path)).parent):
        what = "data of "
    else:
        return
    raise SampleError(
        f"{path}: is {what}a datastore; write its samples to a file first, `camml store export samples.parquet --store "
        f"{store}`, and give that file"
    )


def id_of(path: str) -> str:
    """Return the id that stands for a path as seen from its folder: with ":" for slashes, other signs as %XX."""
    return ":".join(_UNFIT.sub(lambda sign: quote(sign[0], safe=""), part) for part in path.split("/"))


def origin_of(root: Path) -> str:
    """Return what tells the samples of one folder from those of another, without saying where it is."""
    real = os.path.realpath(root)
    return f"{os.path.basename(real)}#{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"


def readable(name: str) -> str:
    """Return a file name in words: `red-pump_7.jpg` is "red pump 7"."""
    stem = os.path.splitext(name.rpartition("/")[2])[0]
    return " ".join(re.sub(r"[_\-+.\s]+", " ", stem).split()) or stem.strip() or name.strip()
