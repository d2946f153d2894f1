"""Paths of pictures: how they are written down, and how they are found again after a move."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from camml.datastore.manifest import Manifest
from camml.errors import StoreError

INSIDE = "./"
"""How the stored path of a picture begins that is in the datastore's own folder."""


def absolute(path: str | Path) -> Path:
    """Return `path` from the root on, links kept, and any `..` taken as the system takes it: after links."""
    path = Path(path).absolute()
    if path.name == "..":
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(path.parent), path.name) if ".." in path.parts else path


def below(path: Path, folder: Path, real: Callable[[Path], str] = os.path.realpath) -> str | None:
    """Return `path` as seen from `folder`, or None where it is not in it, whichever links lead to the two.

    Links inside `folder` are kept, so that a picture which is a link to another place is stored by its own name.
    """
    path, folder = absolute(path), absolute(folder)
    if path.is_relative_to(folder):
        return str(path.relative_to(folder))
    root = Path(real(folder))
    for parent in reversed(path.parents):
        here = Path(real(parent))
        if here.is_relative_to(root):
            return str(here.relative_to(root) / path.relative_to(parent))
    return None


def seen_from(folder: Path, root: Path) -> str:
    """Return the manifest's name of the folder of images: relative when the two are likely to move together."""
    name = below(root, folder.parent)
    return str(root) if name is None else os.path.relpath(folder.parent / name, folder)


def store_folder(path: str | Path) -> Path:
    """Return `path` from the root on, as that of a datastore.

    Raises:
      StoreError: its name is not Unicode, which the readers of data files need.
    """
    path = absolute(path)
    try:
        os.path.realpath(path).encode()
    except (UnicodeEncodeError, ValueError) as error:
        raise StoreError(
            f"{str(path)!r} cannot be the folder of a datastore: its name is not Unicode or has a zero"
        ) from error
    return path


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that the pictures of a datastore are looked for in.

    Attributes:
      root: what stored paths are relative to.
      folder: the datastore's own folder, without links; none for one that has none.
      earlier: where the datastore was when it was changed, newest first, if it was elsewhere; and
      images: its folder of pictures, as seen from the datastore.
    """

    root: Path
    folder: Path | None = None
    earlier: tuple[Path, ...] = ()
    images: str = ""

    @classmethod
    def of(cls, folder: Path, manifest: Manifest, moved: Path | None = None) -> Self:
        """Return the places of the datastore in `folder`; `moved` is where its pictures are, if somebody knows."""
        folder = Path(os.path.realpath(folder))
        if moved:
            return cls(moved, folder)
        earlier = [Path(earlier_folder) for earlier_folder in manifest.homes if Path(earlier_folder) != folder]
        return cls(_joined(folder, manifest.images), folder, tuple(earlier), manifest.images)

    def stored(self, images: Iterable[Path | None]) -> list[str | None]:
        """Return the paths as they are written down: relative where they are below the root or in the datastore."""
        real = cache(os.path.realpath)
        inside = self.folder is not None and not self.root.is_relative_to(self.folder)

        @cache
        def start(folder: Path) -> str:
            """Return what the stored paths of the pictures in `folder` begin with."""
            some = folder / "x"
            if inside and self.folder and (name := below(some, self.folder, real)) is not None:
                return INSIDE + name[:-1]
            name = below(some, self.root, real)
            return (str(absolute(some)) if name is None else name)[:-1]

        return [None if image is None else start(image.parent) + image.name for image in images]

    def find(self, stored: str) -> Path:
        """Return where the picture is that was written down as `stored`.

        Where the datastore was moved, it is looked for as seen from the datastore now, then where it was; the first
        place stands for all if it is in none.
        """
        if stored.startswith(INSIDE) and self.folder:
            return self.folder / stored.removeprefix(INSIDE)
        path = self.root / stored
        if self.earlier and not os.path.exists(path):  # which says no, rather than raise, where we may not look
            return next((place for place in self._moved(stored) if os.path.exists(place)), path)
        return path

    def _moved(self, stored: str) -> Iterable[Path]:
        for earlier_folder in self.earlier:
            was = _joined(earlier_folder, self.images) / stored
            yield was
            if self.folder:
                yield _joined(self.folder, os.path.relpath(was, earlier_folder))


def _joined(folder: Path, path: str) -> Path:
    """Return `path` as seen from `folder`, which has no links: so that `..` can be taken away as text."""
    return Path(os.path.normpath(folder / path))
