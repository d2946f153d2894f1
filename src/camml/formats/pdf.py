"""A PDF file: each page is a sample, its picture with its text; and so is each figure that is a picture."""

from collections.abc import Iterator
from pathlib import Path

from camml.formats import _entries, _pdf, _shards, _walk


def matches(path: Path) -> bool:
    """Return whether it is a file named .pdf."""
    return path.is_file() and path.suffix.lower() in _walk.PDF


def read(path: Path, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each page and figure; their pictures are written to `images`, or into a folder beside the file."""
    written = _shards.folder_written(path, images).absolute()
    yield from _pdf.pages(path.name, path.absolute(), _walk.origin_of(path.absolute().parent), written)
