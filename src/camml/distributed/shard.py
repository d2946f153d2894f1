"""The vectors of some samples as a Parquet file that any tool reads: a row for each sample, in order.

id      of the sample
text    float32[text_dim]; null for a sample that cannot be used
image   float32[image_dim]; null for one without an image, too
bad     why a sample cannot be used; null for the others
file    of its picture, as it was: bytes, modified, sha256; null for one without a picture, or that cannot be read
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from camml.datastore.embedding import Chunk, fingerprint
from camml.datastore.files import write_file
from camml.datastore.picture_files import PictureFile, as_column, from_column
from camml.encoders import Encoder, Vectors
from camml.types import Sample


def name_of(samples: Sequence[Sample], files: Sequence[PictureFile | None], encoder: Encoder, batch_size: int) -> str:
    """Return the name of the file: a hash of the samples, the contents of their image files, and the embedding."""
    facts = [fingerprint(samples, files, encoder), batch_size, [sample.id for sample in samples]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest() + ".parquet"


def write(folder: Path, name: str, samples: Sequence[Sample], chunk: Chunk) -> None:
    """Write `folder/name`, which is there whole or not at all.

    Raises:
      DiskError: the disk does not take it.
    """
    good = np.asarray([row not in chunk.bad for row in range(len(samples))], dtype=bool)
    pictured = good & np.asarray([sample.image is not None for sample in samples], dtype=bool)
    table = pa.table(
        {
            "id": pa.array([sample.id for sample in samples], pa.large_string()),
            "text": _column(chunk.text, good),
            "image": _column(chunk.image, pictured),
            "bad": pa.array([chunk.bad.get(row) for row in range(len(samples))], pa.large_string()),
            "file": as_column(chunk.files or [None] * len(samples)),
        }
    )

    def fill(path: Path) -> None:
        pq.write_table(table, path, compression="none", write_page_checksum=True)

    write_file(folder, name, fill, durable=False)  # losing one costs its time alone


def read(path: Path) -> Chunk | None:
    """Read the vectors in a file; return None where there is none, or where its checksums do not match."""
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
        reasons = enumerate(table["bad"].to_pylist())
        bad = {row: reason for row, reason in reasons if reason is not None}
        files = from_column(table["file"]) if "file" in table.column_names else ()  # one of an earlier version
        return Chunk(_vectors(table["text"]), _vectors(table["image"]), bad, files)
    except (OSError, KeyError, AttributeError, ValueError, pa.ArrowException):  # damage may look like another schema
        return None


def _column(vectors: Vectors, there: Any) -> Any:
    """Convert float32[N, D] to a column with nulls where `there` is false."""
    dim = vectors.shape[1]
    rows = np.zeros((len(there), dim), dtype=np.float32)
    rows[there] = vectors
    mask = pa.array(~there)
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel(), pa.float32()), dim, mask=mask)


def _vectors(column: Any) -> Vectors:
    """Return the vectors in a column, less its nulls."""
    rows = column.combine_chunks()
    dim = rows.type.list_size
    vectors: Vectors = rows.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    return vectors
