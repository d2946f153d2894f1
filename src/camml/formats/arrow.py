"""Files of Arrow, also called Feather, with the columns of Parquet.

One that `camml store export` wrote gives the samples that it was written from.
"""

from collections.abc import Iterator
from pathlib import Path

from camml.formats import _arrow, _entries, _rows, _shards

SUFFIXES = (".arrow", ".feather")


def matches(path: Path) -> bool:
    """Return True for a file named .arrow or .feather."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each row as a sample."""
    written = images or _shards.images_beside(path)
    folder = _entries.folder_of_images(path, images)
    for number, (row, exported) in enumerate(_arrow.rows(path), 1):
        find = exported.find if exported else _rows.find
        yield find(row, f"row {number}", path, folder, written)
