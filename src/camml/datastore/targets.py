"""Places that are written to: checked first, so that nothing of somebody else is overwritten or deleted."""

import os
import re
from pathlib import Path

from camml.datastore import manifest as manifests
from camml.datastore import passages, patches, pictures, readers
from camml.datastore.files import LOCK
from camml.datastore.locations import NOTE, WORK
from camml.datastore.places import below
from camml.durable import UNFINISHED, check_unoccupied
from camml.errors import OptionError, StoreError
from camml.formats import folder as folders

_NAMES = {LOCK, pictures.NOTE, patches.FOLDER, passages.FOLDER}
_PASSING = rf".*{re.escape(UNFINISHED)}|tmp\w{{8}}|\.nfs\w+|\.DS_Store"
_IN_WORK = re.compile(rf"[0-9a-f]{{64}}\.(npz|parquet)|plan\.parquet|{NOTE}|{_PASSING}")
"""Names of files in `WORK`: vectors, the plan of a cluster, a name of collections, what is half written."""
_IN_COPIES = re.compile(rf"{pictures.COPY.pattern}|{_PASSING}")


def check_new(folder: Path, location: str, images: Path | None) -> None:
    """Raise if a datastore cannot be built in a folder: it must be new, empty, or what an interrupted build left.

    Args:
      location: of vectors in a database, as the manifest names it; its file may be in the folder.
      images: the folder of pictures, which may be in it too.

    Raises:
      StoreError: there is a datastore.
      OptionError: it is a file, or holds something else.
      DiskError: it cannot be read.
    """
    check_unbuilt(folder)
    within = (location.partition("?")[0], below(images, folder) if images else None)
    given = {Path(name).parts[0] for name in within if name and Path(name).parts}

    def left(path: Path) -> bool:
        name = path.name
        if name == WORK:  # which is deleted in the end
            return path.is_dir() and all(_IN_WORK.fullmatch(file.name) for file in path.iterdir())
        if name == pictures.COPIES and name not in given:
            return path.is_dir() and all(_IN_COPIES.fullmatch(file.name) for file in path.iterdir())
        data = manifests.DATA_FILE.fullmatch(name) or name.endswith(readers.ENDING)
        return bool(data) or name in _NAMES or any(name.startswith(part) for part in given)

    check_unoccupied(folder, "a datastore", left)


def check_unbuilt(folder: Path) -> None:
    """Raise if there is a datastore in a folder.

    Raises:
      StoreError: the folder holds a datastore.
    """
    if folders.is_store(folder):
        raise StoreError(f"there is a datastore at {folder} already; add to it, or choose another folder")


def check_file(path: Path, overwrite: bool = False) -> None:
    """Raise if a file cannot be written, or must not be.

    Args:
      overwrite: a file that is there may be replaced.

    Raises:
      OptionError: there is no folder for it, it would be in a datastore, or there is one and `overwrite` is false.
    """
    folder = Path(os.path.realpath(path.parent))
    if not folder.is_dir():
        raise OptionError(f"there is no folder {path.parent} for {path.name}; make it first")
    store = next((place for place in (folder, *folder.parents) if folders.is_store(place)), None)
    if store is not None:
        raise OptionError(f"{path} would be in the datastore {store}; give a place outside of it")
    if path.is_dir():
        raise OptionError(f"{path} is a folder; give a file")
    if os.path.lexists(path) and not overwrite:
        raise OptionError(f"{path} is there already; give another name, or --overwrite to replace it")
