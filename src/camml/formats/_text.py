"""Text files, read strictly as UTF-8, or as UTF-16 if they say so: what is not is an error with its place.

One that is packed by gzip is unpacked.
"""

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from camml.errors import SampleError

BOM = codecs.BOM_UTF8
GZIP = b"\x1f\x8b"
PACKED = ".gz"
"""Ending of the names of packed files, after their own."""


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


class _Unpacked(io.RawIOBase):
    """The bytes of a file that is packed by gzip.

    Args:
      path: of the file, for messages.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream = path, stream
        self._unpacked = gzip.GzipFile(fileobj=stream)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read as from any stream.

        Raises:
          SampleError: the file is damaged or cut short.
        """
        try:
            return self._unpacked.readinto(buffer)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise SampleError(f"{self._path}: cannot be unpacked ({error}); copy or write it again") from error

    def close(self) -> None:
        """Close the file, too."""
        self._stream.close()
        super().close()


class _Recoded(io.RawIOBase):
    """The bytes of a text in UTF-16, in UTF-8.

    Args:
      path: of the file, for messages.
      start: the first bytes, which were read already.
    """

    def __init__(self, path: Path, start: bytes, stream: BinaryIO) -> None:
        self._path, self._start, self._stream = path, start, stream
        self._decoder = codecs.getincrementaldecoder("utf-16")()
        self._ready, self._at = b"", 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how many bytes were read, in UTF-8."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as from any stream.

        Raises:
          SampleError: the text is not UTF-16.
        """
        while not self._ready:
            piece = self._start or self._stream.read(io.DEFAULT_BUFFER_SIZE)
            self._start = b""
            try:
                self._ready = self._decoder.decode(piece, final=not piece).encode()
            except UnicodeDecodeError as error:
                reason = "begins as UTF-16 and is not"
                raise SampleError(f"{self._path}: {reason} ({error.reason}); save the file in UTF-8") from error
            if not piece:
                break
        data, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        self._at += len(data)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file, too."""
        self._stream.close()
        super().close()


def ending(path: Path) -> str:
    """Return the ending of a file's name in small letters, without that of packed files: `.csv` of `a.CSV.gz`."""
    return os.path.splitext(path.name.lower().removesuffix(PACKED))[1]


def open_text(path: Path) -> BinaryIO:
    """Open the bytes of a text file or of a pipe in UTF-8, unpacked, after its byte order mark if it has one.

    Raises:
      SampleError: there is no such file, it is a folder, empty, or may not be read.
    """
    try:
        if path.is_dir():
            raise SampleError(f"{path}: is a folder; give a file of samples, or a saved Hugging Face dataset")
        stream: BinaryIO = path.open("rb")
    except OSError as error:
        raise SampleError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    try:
        start = stream.read(len(BOM))
        if start.startswith(GZIP):
            stream = cast(BinaryIO, io.BufferedReader(_Unpacked(path, _from(start, stream, 0))))
            start = stream.read(len(BOM))
        if not start:
            raise SampleError(f"{path}: is empty (0 bytes)")
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return cast(BinaryIO, io.BufferedReader(_Recoded(path, start, stream)))
        at = len(BOM) if start == BOM else 0
        return _from(start[at:], stream, at)
    except BaseException:
        stream.close()
        raise


def _from(start: bytes, stream: BinaryIO, at: int) -> BinaryIO:
    """Return a stream of which the first bytes were read, as it is from `at` on.

    Args:
      start: those of the first bytes that count.
    """
    if stream.seekable():
        stream.seek(at)
        return stream
    return cast(BinaryIO, io.BufferedReader(_Piped(start, cast(io.BufferedReader, stream), at)))


def decoded(data: bytes) -> str:
    """Return the text in the bytes of a file, which is UTF-8, or UTF-16 with a byte order mark.

    Raises:
      UnicodeDecodeError: it is neither.
    """
    return data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")


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
                yield not_utf8(path, f"line {number}: ", offset + error.start, line[error.start])
            offset += len(line)


def not_utf8(path: Path, place: str, offset: int, byte: int) -> SampleError:
    """Return the error for a byte that is not UTF-8, at its offset from the start of the text."""
    return SampleError(f"{path}: {place}byte {offset} (0x{byte:02x}) is not UTF-8; save the file in UTF-8")
