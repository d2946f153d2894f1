"""Parquet: the columns `id`, `text` or `conversations` and mostly `image`; a file, a folder of them, or a pattern.

In a folder without tables those below it are read, as in a snapshot of a Hugging Face dataset, or in partitions by the
values of columns (`year=2024/0.parquet`), which are columns then.

An image is a path, or an image file in the table itself (bytes, or a struct of `bytes` and `path`), which is written to
the folder of images. Other columns are kept, as JSON values; bytes among them are left out. A table that
`camml store export` wrote gives the samples that it was written from.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from camml.errors import SampleError, first_line
from camml.formats import _columns, _entries, _names, _rows, _shards, _walk
from camml.formats._exported import Exported
from camml.remote import is_address

SUFFIXES = (".parquet",)
MANY = True
"""Takes addresses and patterns, too."""
_NULL = "__HIVE_DEFAULT_PARTITION__"
"""The name of the folder of rows without a value."""


def matches(path: _shards.Source) -> bool:
    """Return True for a Parquet file, or a folder of them, also among the pictures that its rows name."""
    if _shards.matches(path, SUFFIXES, below=False):
        return True
    return isinstance(path, Path) and path.is_dir() and (_names_pictures(path) or bool(_tables_below(path)))


def _names_pictures(folder: Path) -> bool:
    """Return whether the first Parquet file in a folder has a column of images: then it is no stray one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = _tables_in(folder)
    try:
        return bool(tables) and _names.has_images(pq.read_schema(tables[0]).names)
    except (pa.ArrowException, OSError):
        return False


def _tables_in(folder: Path) -> list[Path]:
    files = (file for file in folder.iterdir() if file.name.lower().endswith(SUFFIXES) and file.is_file())
    return sorted(file for file in files if not _shards.is_hidden(file.name))


def _tables_below(folder: Path) -> list[Path]:
    """Return the Parquet files below a folder that has none itself, nor pictures anywhere; datastores are left out."""
    others = list[str]()
    if _tables_in(folder) or any(True for _ in _walk.files(folder, others.append)):
        return []
    return [folder / name for name in sorted(others) if name.lower().endswith(SUFFIXES)]


def _tables(path: _shards.Source) -> Iterator[tuple[str, str, dict[str, str | None]]]:
    """Yield the files of a source, each with the text to append to places in it, and the columns of its partition."""
    below = _tables_below(path) if isinstance(path, Path) and path.is_dir() else []
    for file in below:
        name = file.relative_to(path)
        yield str(file), f" of {name.as_posix()}", _partition(name.parts[:-1])
    if not below:
        yield from ((name, of_file, {}) for name, of_file in _shards.places(path, SUFFIXES))


def _partition(folders: Sequence[str]) -> dict[str, str | None]:
    """Return the columns that the names of folders are, in which Hive and Spark write signs as in addresses."""
    pairs = (name.split("=", 1) for name in folders if "=" in name)
    return {unquote(column): None if value == _NULL else unquote(value) for column, value in pairs}


def read(path: _shards.Source, images: Path | None) -> Iterator[_entries.Entry]:
    """Yield each row as a sample."""
    written = _shards.folder_written(path, images)
    _shards.say_what_is_left_out(path, "Parquet", below=False)
    for name, of_file, columns in _tables(path):
        start = written if is_address(name) else _entries.folder_of_images(Path(name), images)
        for number, (row, exported) in enumerate(_stored_rows(name), 1):
            find = exported.find if exported else _rows.find
            yield find({**columns, **row}, f"row {number}{of_file}", path, start, written)


def entries(path: _shards.Source, images: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row with its place, its image written to `images`.

    Raises:
      SampleError: a file cannot be read, or a row's image cannot be used.
    """
    for name, _, columns in _tables(path):
        for number, (row, _exported) in enumerate(_stored_rows(name), 1):
            try:
                yield f"{name}: row {number}", _rows.as_entry({**columns, **row}, images, images)
            except _entries.BadEntry as error:
                raise SampleError(f"{name}: row {number}: {error}") from error


def _stored_rows(name: str) -> Iterator[tuple[dict[str, Any], Exported | None]]:
    """Yield the rows of a file, each with what the file says of its columns if it is an export of ours."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _shards.opened(name) as stream:
        try:
            file = pq.ParquetFile(stream)
            exported = Exported.of(file.schema_arrow.metadata)
            vectors = exported.vectors if exported else ()
            for batch in file.iter_batches(_rows.AT_ONCE):
                yield from ((row, exported) for row in _columns.rows(batch, vectors))
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            if isinstance(error, OSError) and (error.errno is not None or type(error) is not OSError):
                raise  # of the system; Arrow's own, for damage that it meets late, has no number
            reason = first_line(error)
            raise SampleError(f"{name}: cannot be read as Parquet ({reason}); copy or write it again") from error
