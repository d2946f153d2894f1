"""The fields of a Protocol Buffers message, read without its schema.

Source: https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator

Value = int | memoryview
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
WIDTHS = {EIGHT_BYTES: 8, FOUR_BYTES: 4}


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field: an integer, or the bytes of everything else.

    Raises:
      ValueError: it is no such message, or it is cut off.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == LENGTH:
            length, place = _varint(message, place)
        elif kind in WIDTHS:
            length = WIDTHS[kind]
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if place + length > len(message):
            raise ValueError("the message is cut off")
        yield number, message[place : place + length]
        place += length


def integers(value: Value) -> Iterator[int]:
    """Yield the signed integers of a repeated field: packed into bytes, or a single one."""
    if isinstance(value, int):
        yield _signed(value)
        return
    place = 0
    while place < len(value):
        integer, place = _varint(value, place)
        yield _signed(integer)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the integer at a place, seven bits a byte and the lowest first, and the place after it."""
    value = shift = 0
    while True:
        if place >= len(message):
            raise ValueError("the message is cut off")
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
