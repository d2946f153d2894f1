"""The files of pictures as they were when their vectors were made, by which one that was replaced later is noticed."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from camml.durable import digest
from camml.types import Sample

TYPE = pa.struct([("bytes", pa.int64()), ("modified", pa.int64()), ("sha256", pa.binary(32))])
"""A `PictureFile` in a column of Arrow."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """The file of a picture at one moment.

    Attributes:
      bytes: its length.
      modified: when it was last modified, in nanoseconds.
      sha256: of its content.
    """

    bytes: int
    modified: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read a file.

        Raises:
          OSError: it cannot be read.
        """
        facts = path.stat()  # first: a change that comes in between shows as another time
        return cls(facts.st_size, facts.st_mtime_ns, digest(path))

    def is_still(self, path: Path, *, read: bool = False) -> bool:
        """Return whether a file has the content that it had.

        One of the same length and time of modification is believed to; one of the same length and another time, such
        as a copy, is read.

        Args:
          read: believe nothing.

        Raises:
          OSError: it cannot be read.
        """
        facts = path.stat()
        if facts.st_size != self.bytes:
            return False
        return (facts.st_mtime_ns == self.modified and not read) or digest(path) == self.sha256


def picture_files(samples: Iterable[Sample]) -> list[PictureFile | None]:
    """Return the file of each sample's picture; None where there is no picture, or its file cannot be read."""
    return [None if sample.image is None else _readable(sample.image) for sample in samples]


def _readable(path: Path) -> PictureFile | None:
    try:
        return PictureFile.of(path)
    except OSError:  # whoever opens the picture says so
        return None


def as_column(files: Iterable[PictureFile | None]) -> Any:
    """Return an array of Arrow of TYPE, with null for None."""
    rows = [file and (file.bytes, file.modified, bytes.fromhex(file.sha256)) for file in files]
    return pa.array(rows, TYPE)


def from_column(column: Any) -> list[PictureFile | None]:
    """Return what `as_column` was given."""
    rows = column.to_pylist()
    return [row and PictureFile(row["bytes"], row["modified"], row["sha256"].hex()) for row in rows]
