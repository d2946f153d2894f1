"""Rows of files of Arrow, in its format for files or in that for streams."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camml.errors import DiskError, SampleError, first_line
from camml.formats import _columns, _rows
from camml.formats._exported import Exported

_FILE = b"ARROW1"
"""Bytes that a file begins with, and a stream does not."""


def rows(path: Path) -> Iterator[tuple[dict[str, Any], Exported | None]]:
    """Yield the rows of a file, each with what the file says of its columns if it is an export of ours.

    Raises:
      SampleError: it cannot be read.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            is_file = source.read(len(_FILE)) == _FILE
            source.seek(0)
            reader = (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source)
            exported = Exported.of(reader.schema.metadata)
            vectors = exported.vectors if exported else ()
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches)) if is_file else reader
            for batch in batches:
                batch.validate(full=True)  # Arrow trusts its input: a damaged offset would read foreign memory
                for start in range(0, batch.num_rows, _rows.AT_ONCE):
                    piece = batch.slice(start, _rows.AT_ONCE)
                    yield from ((row, exported) for row in _columns.rows(piece, vectors))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, SampleError | DiskError):
            raise
        reason = first_line(error)
        raise SampleError(f"{path}: cannot be read as Arrow ({reason}); save or download it again") from error
