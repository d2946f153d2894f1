"""Text files, read strictly as UTF-8: what is not is an error with its place."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from camml.errors import SampleError

BOM = b"\xef\xbb\xbf"


class _Piped(io.RawIOBase):
    """The bytes that come out of a pipe, which cannot be sought, after those that were looked at.

    Args:
      start: what was read of it and counts.
      stream: where the rest is.
      at: the bytes before `start`.
    """

    def __init__(self, start: bytes, stream: io.BufferedReader, at: int) -> None:
        self._start, self._stream, self._at = start, stream, at

    def readable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as from any stream."""
        data = self._start[: len(buffer)] or self._stream.read1(len(buffer))
        self._start = self._start[len(data) :]
        self._at += len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the pipe, too."""
        self._stream.close()
        super().close()


def open_text(path: Path) -> BinaryIO:
    """Open the bytes of a text file or of a pipe, after its byte order mark if it has one.

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
    at = len(BOM) if start == BOM else 0
    if not stream.seekable():
        return io.BufferedReader(_Piped(start[at:], stream, at))
    stream.seek(at)
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
