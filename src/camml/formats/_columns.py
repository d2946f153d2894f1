"""From columns of Arrow to rows of Python, in which no value is lost or another one for what its type is.

A number of 32 or 16 bits is the decimal that was meant, times have microseconds, and a map is an object.
"""

import re
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

_DAY = re.compile(r"-?\d+-\d\d-\d\d( \d\d:|$)")
"""The beginning of a day or a time as text, also beyond the years of Python; Arrow writes other texts, too."""

Kind = Any
"""A type of Arrow."""


def rows(batch: Any, leave_out: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of a batch.

    Args:
      leave_out: names of columns.
    """
    columns = {
        name: _values(column)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if name not in leave_out
    }
    return [{name: values[row] for name, values in columns.items()} for row in range(batch.num_rows)]


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    # dates that Python lacks, zones that the machine lacks, texts that are not UTF-8
    unreadable = (ValueError, OverflowError, KeyError, pa.ArrowException)
    column = _exact(column)
    try:
        values = column.to_pylist()
    except unreadable:
        values = [_alone(column.slice(row, 1), unreadable) for row in range(len(column))]
    convert = _converter(column.type)
    return values if convert is None else [convert(value) for value in values]


def _exact(column: Any) -> Any:
    """Return a column whose numbers of 32 bits are the shortest decimals that stand for them, times in microseconds."""
    import pyarrow as pa

    kind = _microseconds(column.type)
    decimal = _with(kind, {pa.float32(): pa.float64()}.get)
    if decimal == column.type:
        return column
    try:
        column = column.cast(_with(kind, {pa.float32(): pa.string()}.get), safe=False)  # as Arrow writes a number
        return column.cast(decimal)
    except pa.ArrowNotImplementedError:  # of kinds that are hardly ever written
        return column


@cache
def _microseconds(kind: Kind) -> Kind:
    """Return a type without nanoseconds, which Python has not."""
    import pyarrow as pa

    def shorter(kind: Kind) -> Kind | None:
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            return pa.timestamp("us", kind.tz)
        return {pa.time64("ns"): pa.time64("us"), pa.duration("ns"): pa.duration("us")}.get(kind)

    return _with(kind, shorter)


def _alone(row: Any, unreadable: tuple[type[Exception], ...]) -> Any:
    """Return the value in a column of one row: as text, bytes or nothing where Python has no such value."""
    import pyarrow as pa

    kind = row.type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    utc, text = (pa.large_binary(),) * 2 if is_text else (_in_utc(kind), _with(_in_utc(kind), _text_of_day))
    try:
        return row.to_pylist()[0]
    except unreadable:
        pass
    try:
        value = row.cast(utc).cast(text).to_pylist()[0]
    except unreadable:
        return None
    return None if isinstance(value, str) and not _DAY.match(value) else value


def _in_utc(kind: Kind) -> Kind:
    import pyarrow as pa

    return _with(kind, lambda kind: pa.timestamp(kind.unit, "UTC") if getattr(kind, "tz", None) else None)


def _text_of_day(kind: Kind) -> Kind | None:
    import pyarrow as pa

    return pa.string() if pa.types.is_date(kind) or pa.types.is_timestamp(kind) else None


def _with(kind: Kind, other: Callable[[Kind], Kind | None]) -> Kind:
    """Return a type in which others stand for types that are no lists, structs or maps, also deep inside.

    Args:
      other: gives the type that stands for one, None for itself.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_struct(kind):
        return pa.struct([field.with_type(_with(field.type, other)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_with(kind.key_type, other), _with(kind.item_type, other))
    if types.is_dictionary(kind):
        inside = _with(kind.value_type, other)
        return kind if inside == kind.value_type else inside
    if _is_list(kind):
        inside = kind.value_field.with_type(_with(kind.value_type, other))
        if types.is_fixed_size_list(kind):
            return pa.list_(inside, kind.list_size)
        return pa.large_list(inside) if types.is_large_list(kind) else pa.list_(inside)
    return other(kind) or kind


def _is_list(kind: Kind) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


@cache
def _converter(kind: Kind) -> Callable[[Any], Any] | None:
    """Return what makes objects of maps, and decimals of numbers of 16 bits; None where there is nothing to do."""
    from pyarrow import types

    if types.is_float16(kind):
        return _of_16_bits
    if types.is_dictionary(kind):
        return _converter(kind.value_type)
    if types.is_map(kind):
        inner = _converter(kind.item_type) or _same
        return lambda pairs: None if pairs is None else {str(key): inner(value) for key, value in pairs}
    if types.is_struct(kind):
        fields = {field.name: _converter(field.type) or _same for field in kind}
        if all(convert is _same for convert in fields.values()):
            return None
        return lambda value: value and {name: convert(value[name]) for name, convert in fields.items()}
    of_items = _converter(kind.value_type) if _is_list(kind) else None
    return of_items and (lambda items: items and [of_items(item) for item in items])


def _same(value: Any) -> Any:
    return value


def _of_16_bits(value: Any) -> float | None:
    import numpy as np

    if value is None:
        return None
    number = float(value)
    return number if number.is_integer() else float(str(np.float16(value)))
