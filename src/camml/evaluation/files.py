"""The JSON, JSON-lines and tab-separated files of benchmarks; results are written whole or not at all."""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from camml.durable import write_file
from camml.errors import DiskError, SampleError
from camml.json_values import unique_keys
from camml.sizes import size_in_words

GZIP = b"\x1f\x8b"
LARGEST = 2_000_000_000
"""Bytes of a packed file, unpacked: the largest annotations of a benchmark have a fifth of it."""


def read_text(path: Path) -> str:
    """Read a UTF-8 file, unpacked where it is packed by gzip, without its byte-order mark.

    Raises:
      SampleError: no such file, or not UTF-8, or it cannot be unpacked.
    """
    try:
        content = path.read_bytes()
        content = _unpacked(path, content) if content.startswith(GZIP) else content
        with io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig") as text:
            return text.read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise SampleError(f"no file {path}") from None
    except UnicodeDecodeError as error:
        raise SampleError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _unpacked(path: Path, packed: bytes) -> bytes:
    """Return the content of a file that is packed by gzip."""
    try:
        content = gzip.GzipFile(fileobj=io.BytesIO(packed)).read(LARGEST + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SampleError(f"{path} cannot be unpacked ({error}); copy or write it again") from None
    if len(content) > LARGEST:
        raise SampleError(f"{path} unpacks to more than {size_in_words(LARGEST)}; give the right file, or unpack it")
    return content


def read_json(path: Path) -> Any:
    """Read the value in a JSON file.

    Raises:
      SampleError: no such file, or not JSON (the message has the line), or an object with a key that is there twice.
    """
    try:
        return json.loads(read_text(path), object_pairs_hook=unique_keys)
    except json.JSONDecodeError as error:
        raise SampleError(f"{path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise SampleError(f"{path}: {error}") from None
    except RecursionError:
        raise SampleError(f"{path} is nested too deeply to be a data file") from None


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of each line of a JSON-lines file that is not blank.

    Raises:
      SampleError: no such file, or a line that is not a JSON object, or in which a key is there twice; the message has
        its number.
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=unique_keys)
        except (json.JSONDecodeError, RecursionError) as error:
            raise SampleError(f"{path}, line {number} is not JSON ({error}): {shown(line)}") from None
        except ValueError as error:
            raise SampleError(f"{path}, line {number}: {error}") from None
        if not isinstance(value, dict):
            raise SampleError(f"{path}, line {number} should be a JSON object, not {shown(line)}")
        yield number, value


def read_records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return (number, object) for each entry of a JSON list or a JSON-lines file; the file's first character decides.

    Raises:
      SampleError: it is neither; the message names the entry.
    """
    if not read_text(path).lstrip().startswith("["):
        return list(read_lines(path))
    records = list(enumerate(read_json(path), start=1))
    for number, record in records:
        if not isinstance(record, dict):
            raise SampleError(f"{path}, entry {number} should be a JSON object, not {shown(json.dumps(record))}")
    return records


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a tab-separated file with a header, all values as text.

    Raises:
      SampleError: no such file, or not such a table.
    """
    from pyarrow import ArrowException, csv, string

    if not path.is_file():
        raise SampleError(f"no file {path}")
    parse = csv.ParseOptions(delimiter="\t", newlines_in_values=True)
    read = csv.ReadOptions(block_size=64 << 20)  # a row holds a whole picture
    try:
        with csv.open_csv(path, read, parse) as reader:
            columns = reader.schema.names
        convert = csv.ConvertOptions(column_types=dict.fromkeys(columns, string()), strings_can_be_null=False)
        rows: list[dict[str, str]] = csv.read_csv(path, read, parse, convert).to_pylist()
    except (ArrowException, UnicodeDecodeError) as error:
        raise SampleError(f"{path} is not a tab-separated table: {error}") from None
    return rows


def visible(paths: Iterable[Path]) -> list[Path]:
    """Return the paths in order, without hidden files: macOS puts a `._NAME` beside each NAME on other disks."""
    return sorted(path for path in paths if not path.name.startswith("."))


def field(record: Any, key: str, path: Path, number: int) -> Any:
    """Return `record[key]`.

    Raises:
      SampleError: there is no such key in it; the message names file, entry and the keys there are.
    """
    if not isinstance(record, dict):
        raise SampleError(f"{path}, entry {number} should be an object, not {shown(repr(record))}")
    if key not in record:
        raise SampleError(f"{path}, entry {number} has no {key!r}; it has: {', '.join(sorted(record)) or 'nothing'}")
    return record[key]


def shown(text: str, limit: int = 60) -> str:
    """Return `text`, shortened for a message."""
    return text if len(text) <= limit else text[:limit] + "..."


def listed(ids: Iterable[str], limit: int = 5) -> str:
    """Return the first few ids, and how many more there are."""
    every = list(ids)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or none, with the folders above it.

    Raises:
      DiskError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(f"cannot make the folder {path.parent}: {error.strerror or error}") from error
    write_file(path, content)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    write_bytes(path, "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode())
