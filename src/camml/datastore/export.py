"""A datastore as a table that other programs read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from camml.datastore.targets import check_file
from camml.durable import replacing, sync_folder
from camml.errors import OptionError
from camml.formats._exported import Exported

if TYPE_CHECKING:
    from camml.datastore.store import Datastore

OWN = ("id", "text", "image")
"""Columns that every table has; those of `meta` follow."""


def table_of(datastore: "Datastore", vectors: bool = False) -> Any:
    """Return the samples as a table of Arrow: `id`, `text`, `image` (a path), and a column for each key of `meta`.

    Values of one key that are of several kinds, or lists and objects, become JSON texts; so do whole numbers too large
    for a float beside fractions. What a sample lacks is null. A key that is called like a column of ours, or like one
    made in this way, gets `meta_` in front of it. The metadata of the schema says so of each column
    (`camml.formats._exported`).

    Args:
      vectors: have the columns `image_vector` and `text_vector`, too.
    """
    import pyarrow as pa

    samples = list(datastore)
    columns: dict[str, Any] = {
        "id": pa.array([sample.id for sample in samples], pa.string()),
        "text": pa.array([sample.text for sample in samples], pa.string()),
        "image": pa.array([None if sample.image is None else str(sample.image) for sample in samples], pa.string()),
    }
    reserved = (*OWN, "conversations", "image_vector", "text_vector")
    keys, texts = dict[str, str](), list[str]()
    for key in dict.fromkeys(key for sample in samples for key in sample.meta):
        name = key
        while name in reserved or name in columns:
            name = f"meta_{name}"
        keys[name] = key
        columns[name], as_texts = _column([sample.meta.get(key) for sample in samples])
        texts += [name] * as_texts
    for modality in ("image", "text") if vectors else ():
        known = datastore.vectors([sample.id for sample in samples], modality)
        if known:
            kind = pa.list_(pa.float32(), len(next(iter(known.values()))))
            columns[f"{modality}_vector"] = pa.array([known.get(sample.id) for sample in samples], kind)
    vectors_in = [name for name in columns if name not in (*OWN, *keys)]
    return pa.table(columns).replace_schema_metadata(Exported(keys, texts, vectors_in).as_metadata())


def _column(values: list[Any]) -> tuple[Any, bool]:
    """Return values of one kind as they are, and all others as JSON texts; and whether they became that."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    mixed = kinds == {int, float} and all(map(_is_held_by_a_float, values))
    if mixed or (len(kinds) == 1 and kinds <= {str, int, float, bool}):
        try:
            return pa.array([None if value is None else float(value) for value in values] if mixed else values), False
        except (pa.ArrowInvalid, OverflowError):  # a whole number beyond 64 bits
            pass
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pa.array(texts, pa.string()), True


def _is_held_by_a_float(value: Any) -> bool:
    """Return whether a number is the same as a float, which whole ones above 2**53 need not be."""
    try:
        return not isinstance(value, int) or int(float(value)) == value
    except OverflowError:
        return False


def _write_parquet(table: Any, file: BinaryIO) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, file, compression="zstd")


def _write_arrow(table: Any, file: BinaryIO) -> None:
    import pyarrow as pa

    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _write_csv(table: Any, file: BinaryIO) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(table, file)


WRITERS: dict[str, Callable[[Any, BinaryIO], None]] = {
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
    ".csv": _write_csv,
}
"""By the ending of the file; `.arrow` is Arrow's own file format, also called Feather."""


def export(datastore: "Datastore", path: Path, vectors: bool = False, overwrite: bool = False) -> int:
    """Write the samples to a file, whole or not at all, and return how many they are.

    Args:
      vectors: with the vectors of pictures and texts.
      overwrite: replace a file that is there already.

    Raises:
      OptionError: no format has the ending of the file, it cannot hold vectors, or `targets.check_file` says no.
      DiskError: it cannot be written.

    Example:
      >>> from camml import Datastore, Sample, encoders
      >>> store = Datastore.build("store", [Sample("pump-7", "The pump needs seal 4711.")], encoders.load("hashed"))
      >>> export(store, Path("exported.parquet"))
      1
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise OptionError(f"{path} ends in none of {', '.join(WRITERS)}, which say the format")
    if vectors and path.suffix.lower() == ".csv":
        raise OptionError(f"{path} cannot hold vectors; write a file ending in .parquet or .arrow")
    check_file(path, overwrite)
    table = table_of(datastore, vectors)
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        write(table, file)
    sync_folder(path.absolute().parent)
    return int(table.num_rows)
