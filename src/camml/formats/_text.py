"""Text files, read strictly as UTF-8: what is not is an error with its place."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from camml.errors import SampleError

BOM = b"\xef\xbb\xbf"


def open_text(path: Path) -> BinaryIO:
    """Open the bytes of a text file, after its byte order mark if it has one.

    Raises:
      SampleError: there is no such file, it is a folder, empty, or may not be read.
    """
    try:
        if path.is_dir():
            raise SampleError(f"{path}: is a folder; give a file of samples, or a saved Hugging Face dataset")
        stream = path.open("rb")
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    start = stream.read(len(BOM))
    if not start:
        stream.close()
        raise SampleError(f"{path}: is empty (0 bytes)")
    if start != BOM:
        stream.seek(0)
    return stream


def lines(path: Path) -> Iterator[str | SampleError]:
    """Yield the lines of a text file, their ends included, an error in place of one that is not UTF-8.

    Raises:
      SampleError: as `open_text`.
    """
    with open_text(path) as stream:
        offset = stream.tell()
        for number, line in enumerate(stream, 1):
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                yield not_utf8(path, f"line {number}: ", offset + error.start, line[error.start], offset == 0)
            offset += len(line)


def not_utf8(path: Path, place: str, offset: int, byte: int, at_start: bool = False) -> SampleError:
    """Return the error for a byte that is not UTF-8, at its offset from the start of the file."""
    utf16 = " (it looks like UTF-16)" if at_start and byte in (0xFE, 0xFF) else ""
    return SampleError(f"{path}: {place}byte {offset} (0x{byte:02x}) is not UTF-8{utf16}; save the file in UTF-8")
