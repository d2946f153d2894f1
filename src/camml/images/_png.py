"""PNG files by their chunks: notes that would cost memory are passed over, and the real depth of values is read."""

import io
import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 200_000
"""Writers that split the pixels into pieces of 8 kB need 65,000 for the largest image."""
LONGEST_NOTE = 2**20
"""Bytes of a note that is read, unpacked. Pillow refuses files with longer ones."""
MOST_NOTES = 8

_NOTES = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
"""Chunks that hold words or a color profile, of any length; no pixel depends on them here."""
_TURNS = (b"XML:com.adobe.xmp", b"Raw profile type exif")
"""Keywords of the notes that may say how the camera was held."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Survey:
    """The information in the chunks of a PNG file.

    Attributes:
      gaps: start and end of what need not be read, ascending.
      bits: that each value really has, where the file says so.
      chunks: how many there are, up to one more than MOST_CHUNKS.
    """

    gaps: tuple[Span, ...] = ()
    bits: int | None = None
    chunks: int = 0


def survey(stream: BinaryIO) -> Survey | None:
    """Look through the chunks of a file, and go back to its start; return None where it is no PNG."""
    try:
        return _walk(stream) if stream.read(len(SIGNATURE)) == SIGNATURE else None
    finally:
        stream.seek(0)


def without(stream: BinaryIO, gaps: Sequence[Span]) -> BinaryIO:
    """Return the stream as if the gaps were not there."""
    return io.BufferedReader(_Spliced(stream, gaps)) if gaps else stream


def _walk(stream: BinaryIO) -> Survey:
    gaps: list[Span] = []
    bits, chunks, notes, at = None, 0, 0, len(SIGNATURE)
    while chunks <= MOST_CHUNKS:
        stream.seek(at)
        header = stream.read(8)
        if len(header) < 8:
            break
        length, kind = struct.unpack(">I4s", header)
        end = at + 12 + length
        chunks += 1
        if kind in _NOTES:
            if notes < MOST_NOTES and _turns(kind, stream, length):
                notes += 1
            else:
                gaps.append((at, end))
        elif kind == b"sBIT" and length <= 4:
            # the last value of four, or of two, is that of the transparency
            bits = max(stream.read(length)[: {2: 1, 4: 3}.get(length)], default=None)
        elif kind == b"IEND":
            break
        at = end
    return Survey(tuple(gaps), bits, chunks)


def _turns(kind: bytes, stream: BinaryIO, length: int) -> bool:
    """Return True if a text chunk may say how the camera was held, and is short enough to be read."""
    if kind == b"iCCP" or length > LONGEST_NOTE:
        return False
    keyword, _, rest = stream.read(length).partition(b"\0")
    if keyword not in _TURNS:
        return False
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", b"".join(rest[2:].split(b"\0", 2)[2:])
    else:
        packed, rest = kind == b"zTXt", rest[1:]
    return not packed or _unpacks(rest)


def _unpacks(data: bytes) -> bool:
    """Return True if packed data is complete, and no longer than LONGEST_NOTE when it is unpacked."""
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(data, LONGEST_NOTE)
    except zlib.error:
        return False
    return not unpacker.unconsumed_tail


class _Spliced(io.RawIOBase):
    """A stream without its gaps."""

    def __init__(self, stream: BinaryIO, gaps: Sequence[Span]) -> None:
        self._stream = stream
        size = stream.seek(0, io.SEEK_END)
        starts = [0, *(min(end, size) for _, end in gaps)]
        ends = [*(start for start, _ in gaps), size]
        self._starts = starts
        self._places = [0]  # at which each part begins in what is shown
        for start, end in zip(starts, ends, strict=True):
            self._places.append(self._places[-1] + end - start)
        self._at = 0

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._places[-1]}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`."""
        if self._at >= self._places[-1]:
            return 0
        part = bisect_right(self._places, self._at) - 1
        self._stream.seek(self._starts[part] + self._at - self._places[part])
        data = self._stream.read(min(len(buffer), self._places[part + 1] - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
