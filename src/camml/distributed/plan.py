"""The plan of a run: a Parquet file that every node reads, with a row group for each unit of work."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from camml.durable import replacing
from camml.errors import ClusterError

NAME = "plan.parquet"

Row = tuple[str, str, Path | None]
"""Id, text and image of a sample or a query."""


def write(path: Path, units: Iterable[Sequence[Row]]) -> None:
    """Write `units` to `path`, one at a time.

    Raises:
      DiskError: the disk does not take it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.large_string()), ("text", pa.large_string()), ("image", pa.large_string())])
    with replacing(path, durable=False) as unfinished, pq.ParquetWriter(unfinished, schema) as writer:
        for unit in units:
            ids, texts, images = zip(*unit, strict=True)
            names = [None if image is None else str(image.absolute()) for image in images]
            table = pa.table([ids, texts, names], schema=schema)
            writer.write_table(table, row_group_size=len(unit))


class Plan:
    """A plan, opened on a node.

    Raises:
      ClusterError: the node does not see the file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        try:
            self._file: Any = pq.ParquetFile(path)
        except FileNotFoundError as error:
            raise ClusterError(
                f"a node of the cluster does not see {path.parent}; write to a folder that all nodes share"
            ) from error

    def unit(self, number: int) -> list[Row]:
        """Return the rows of one unit."""
        columns = self._file.read_row_group(number).to_pydict()
        rows = zip(columns["id"], columns["text"], columns["image"], strict=True)
        return [(name, text, None if image is None else Path(image)) for name, text, image in rows]
