"""Layouts of picture folders: published files do not always name pictures from the file's own folder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeVar
from unicodedata import normalize
from urllib.request import url2pathname

SPLITS = ("train", "val", "test")
"""The folders of ScienceQA's pictures: `images/train/ID/image.png`, where files say `ID/image.png`."""

OTHER_SUFFIXES = (".gif", ".png")
"""How a picture may be called that is named .jpg, in the order in which LLaVA's code looks; OCR-VQA needs it."""

LOOKED_AT = 64
"""Pictures of a file that are looked for when it is opened, from its first entry to its last."""

Item = TypeVar("Item")

ANCESTORS = 5
"""Folders above the one given in which names may start."""


def spellings(name: str) -> list[str]:
    """Return a name as it is given, and with accents in one character with their letters or apart, if that differs.

    A file keeps the one that the system had which wrote it, macOS mostly the latter; both look alike.

    Example:
      >>> [len(name) for name in spellings("caf\u00e9")]
      [4, 5]
    """
    return list(dict.fromkeys((name, normalize("NFC", name), normalize("NFD", name))))


def local_path(name: str) -> str:
    """Return the path in an address of a file on this machine; any other name as it is given.

    Example:
      >>> local_path("file:///photos/my%20cat.jpg"), local_path("cat.jpg")
      ('/photos/my cat.jpg', 'cat.jpg')
    """
    if not name.lower().startswith("file://"):
        return name
    _, slash, path = name[len("file://") :].partition("/")
    return url2pathname(slash + path)


def find_picture(root: str | Path, name: str) -> Path | None:
    """Return the picture called `name` below `root`, or None where it is not there.

    A .jpg may be there as .gif or .png, it may lie in one of ScienceQA's folders train, val and test, its accents may
    be written otherwise, and its folders as on Windows.
    """
    for spelling in dict.fromkeys((*spellings(name), *spellings(name.replace("\\", "/")))):
        for folder in ("", *SPLITS):
            if folder and not os.path.isdir(os.path.join(root, folder)):
                continue
            path = os.path.join(root, folder, spelling)
            if os.path.isfile(path):
                return Path(path)
            stem, suffix = os.path.splitext(path)
            others = OTHER_SUFFIXES if suffix.lower() in (".jpg", ".jpeg") else ()
            for other in others:
                if os.path.isfile(stem + other):
                    return Path(stem + other)
    return None


def spread(items: Sequence[Item], most: int = LOOKED_AT) -> list[Item]:
    """Return at most `most` items, from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[number * (len(items) - 1) // max(most - 1, 1)] for number in range(most)]


@dataclass(frozen=True, slots=True)
class Layout:
    """A rule by which the name of a picture becomes its path.

    Attributes:
      root: the folder that names start from.
      dropped: folders at the beginning of a name that are left out, where pictures were moved.
    """

    root: Path
    dropped: int = 0

    def find(self, name: str) -> Path | None:
        """Return the picture called `name`, or None where it is not there."""
        shorter = self._shorten(name)
        return find_picture(self.root, shorter) if shorter else None

    def place(self, name: str) -> Path:
        """Return where the picture called `name` is, or should be."""
        return self.find(name) or Path(os.path.abspath(self.root / (self._shorten(name) or name)))

    def count(self, names: Sequence[str]) -> int:
        """Return how many of `names` are there."""
        return sum(self.find(name) is not None for name in names)

    def _shorten(self, name: str) -> str:
        """Return a name without the folders that are left out; nothing where none of it is left."""
        if not self.dropped:
            return name
        parts = PurePath(name).parts
        parts = parts[1:] if PurePath(name).is_absolute() else parts
        return str(PurePath(*parts[self.dropped :])) if len(parts) > self.dropped else ""


def roots(file: Path, images: str | Path | None = None) -> list[Path]:
    """Return the folders that the names in `file` may start from, the likeliest first.

    These are the folder given, or else that of the file; those above it (a published file lies in `data/` and names
    its pictures `data/...`); and, where no folder is given, the working directory with those in it that it may mean.
    """
    first = Path(os.path.abspath(images if images is not None else file.parent))
    here = [] if images is not None else [Path.cwd()]
    return list(dict.fromkeys([first, *list(first.parents)[:ANCESTORS], *here]))


def choose(file: Path, names: Sequence[str], images: str | Path | None = None) -> Layout:
    """Return the layout by which most of `names` are there; the first where none is.

    Args:
      file: what names the pictures.
      names: as they stand there.
      images: the folder that a person named.
    """
    looked = spread(names)
    places = roots(file, images)
    first = Layout(places[0])
    best, most = first, first.count(looked)
    for root in places[1:]:
        if most == len(looked):
            return best
        if (count := Layout(root).count(looked)) > most:
            best, most = Layout(root), count
    if most or not looked:
        return best
    longest = max(len(PurePath(name).parts) for name in looked)
    for root in places[:1] if images is not None else places:
        for dropped in range(longest):
            moved = Layout(root, dropped)
            # a file's own name is not enough to know a picture by, unless a person says that they are here
            names_left = [name for name in looked if images is not None or "/" in (moved._shorten(name))]
            if names_left and (count := moved.count(names_left)) > most:
                best, most = moved, count
    return best
