"""The living samples of a datastore, over all its files."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import islice
from typing import Any
from unicodedata import normalize

import numpy as np

from camml.datastore.picture_files import PictureFile
from camml.datastore.places import Places
from camml.datastore.rows import Rows
from camml.errors import InputError, OptionError, SampleError
from camml.layouts import spellings
from camml.stores import Keys, keys_of
from camml.types import UNFIT_FOR_IDS, Range, Sample, Where, is_nested_too_deeply

_HALF = re.compile("[\ud800-\udfff]")

_LACKING = object()
FILTERS = 64
"""Filters whose keys are remembered."""


class Table:
    """The samples of some files less the removed ones, by key and by id.

    Args:
      parts: files of samples; the keys ascend from part to part.
      places: where images are.
      removed: int64[N], ascending: keys that count no longer.
    """

    def __init__(self, parts: Sequence[Rows], places: Places, removed: Keys | None = None) -> None:
        self.parts = [part for part in parts if len(part)]
        self.places = places
        self.removed = keys_of(()) if removed is None else removed
        self._firsts = [int(part.keys[0]) for part in self.parts]
        self._chosen: dict[str, Keys] = {}

    @cached_property
    def keys(self) -> Keys:
        """int64[N] of all that live, ascending."""
        return self._living([part.keys for part in self.parts])

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Sample]:
        return map(self.sample, self.keys.tolist())

    def find(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the keys of those of `ids` that exist."""
        keys: dict[str, int] = {}
        usable = [id for id in ids if not _HALF.search(id)]  # others cannot be there, nor be looked up
        for part in self.parts:
            its = part.find(usable)
            alive = self._alive(keys_of(list(its.values())))
            keys |= {id: key for (id, key), is_alive in zip(its.items(), alive, strict=True) if is_alive}
        return keys

    def row(self, key: int) -> int:
        """Return the position of a living key, counted from 0."""
        return int(np.searchsorted(self.keys, key))

    def has_image(self, key: int) -> bool:
        """Return True if the sample of a key has an image."""
        return self._part(key).has_image(key)

    def picture_file(self, key: int) -> PictureFile | None:
        """Return the file of the picture of a key when it was embedded; None where that is not known."""
        return self._part(key).picture_file(key)

    def keys_with(self, modality: str) -> Keys:
        """Return the keys of the samples that have a vector of `modality`: all have a text, some an image."""
        return self._living([part.with_image() for part in self.parts]) if modality == "image" else self.keys

    def keys_with_identifier(self, identifier: str) -> Keys:
        """Return the keys of the samples in whose text an identifier stands."""
        return self._living([part.keys_with_identifier(identifier) for part in self.parts])

    def sample(self, key: int) -> Sample:
        """Return the sample of a key."""
        return self._part(key).sample(key, self.places)

    def _part(self, key: int) -> Rows:
        return self.parts[bisect_right(self._firsts, key) - 1]

    def _living(self, parts: list[Keys]) -> Keys:
        keys = np.concatenate([keys_of(()), *parts])
        return keys[self._alive(keys)] if len(self.removed) else keys

    def _alive(self, keys: Keys) -> Any:
        return ~np.isin(keys, self.removed)

    def chosen(self, where: Where) -> Keys:
        """Return the keys of the samples that `where` lets through.

        Raises:
          OptionError: it asks for something that no sample's `meta` has.
        """
        if not isinstance(where, Mapping):
            keys: Keys = self.keys[np.fromiter(map(where, self), dtype=bool, count=len(self))]
            return keys
        name = repr(sorted(where.items(), key=lambda pair: pair[0]))  # a range is not the text that it looks like
        keys_there = self._chosen.get(name)
        if keys_there is None:
            keys_there = self._matching(where)
            if len(self._chosen) >= FILTERS:  # a server is asked for ever new ones
                self._chosen = {}
            self._chosen[name] = keys_there
        return keys_there

    def _matching(self, where: Mapping[str, Any]) -> Keys:
        keys = np.concatenate([keys_of(()), *(part.keys for part in self.parts)])
        texts = [meta for part in self.parts for meta in part.column("meta").to_pylist()]
        alive = self._alive(keys)
        metas = [json.loads(meta) if meta else {} for meta, is_alive in zip(texts, alive, strict=True) if is_alive]
        wanted = [(*_column(metas, key, want), key) for key, want in where.items()]
        unknown = sorted(key for values, _, key in wanted if all(value is _LACKING for value in values))
        if metas and unknown:
            there = sorted({name for meta in metas for name in _names(meta)})
            choices = f"they have: {', '.join(there)}" if there else "they have none at all"
            raise OptionError(f"no sample has {', '.join(map(repr, unknown))} among its metadata; {choices}")
        fits = [
            all(_matches(None if values[row] is _LACKING else values[row], want) for values, want, _ in wanted)
            for row in range(len(metas))
        ]
        chosen: Keys = keys[alive][np.asarray(fits, dtype=bool)]
        return chosen


OnBad = Callable[[Sample, InputError], None]
"""What is called with a sample that cannot be used and the reason; the sample is then left out."""


def refuse(sample: Sample, error: InputError) -> None:
    """Raise the error of a bad sample: the `OnBad` that stops at the first."""
    raise error


class SampleFilter:
    """A filter for samples that can be stored beside those that are `there`; remembers the ids it has seen."""

    def __init__(self, there: Table, on_bad: OnBad = refuse) -> None:
        self._there = there
        self._on_bad = on_bad
        self._places: dict[str, int] = {}
        self._seen = 0

    def of(self, samples: Iterator[Sample], most: int) -> list[Sample]:
        """Return the usable ones among the next `most` samples, reading on while there is none; empty at the end."""
        while given := list(islice(samples, most)):
            known = self._there.find([sample.id for sample in given])
            if usable := [sample for sample in given if self._is_usable(sample, known)]:
                return usable
        return []

    def _is_usable(self, sample: Sample, known: Mapping[str, int]) -> bool:
        self._seen += 1
        problem = _problem(sample)
        if sample.id in known:
            row = self._there.row(known[sample.id]) + 1
            problem = (
                f"is there already, in row {row} of the datastore; replace that one (--upsert, in Python `update`)"
            )
        elif (first := self._places.setdefault(sample.id, self._seen)) != self._seen:
            problem = f"is there twice, the first time as sample {first}; ids must be unique"
        if problem:
            self._on_bad(sample, SampleError(f"sample {self._seen} of the input (id {sample.id!r}) {problem}"))
        return problem is None


def _problem(sample: Sample) -> str | None:
    """Say why a sample cannot be stored; return None where it can."""
    if not sample.id.strip() or UNFIT_FOR_IDS.search(sample.id):
        return "has an id that is empty or holds a slash or an unprintable character; rename it"
    if not sample.text.strip() and sample.image is None:
        return "has no text and no image; give it one of them, or leave it out"
    try:
        str(sample.image or "").encode()
    except UnicodeEncodeError:
        return f"has an image whose path is not Unicode: {str(sample.image)!r}; rename the file or its folder"
    if is_nested_too_deeply(sample.meta):
        return "has metadata that is nested too deeply; write it flatter"
    try:
        "".join((sample.text, json.dumps(dict(sample.meta), ensure_ascii=False))).encode()
    except UnicodeEncodeError:
        return "holds an unpaired surrogate, which is not valid Unicode; retype its text"
    except (TypeError, ValueError) as error:
        return f"has metadata that is not JSON: {error}"
    return None


def _column(metas: Sequence[Mapping[str, Any]], key: str, want: Any) -> tuple[list[Any], Any]:
    """Return the values of a key, and what is wanted of them.

    A key that no sample has may be written with its accents otherwise, or with blanks beside it that belong to
    neither the key nor the value: `year = 1999`.
    """
    for name in dict.fromkeys((*spellings(key), *spellings(key.strip()))):
        values = [_value(meta, name) for meta in metas]
        if any(value is not _LACKING for value in values):
            return values, want.strip() if isinstance(want, str) and name not in spellings(key) else want
    return [_LACKING] * len(metas), want


def _value(meta: Mapping[str, Any], key: str) -> Any:
    """Return `meta[key]`, following dots into nested objects (`maker.name`); `_LACKING` if absent."""
    if key in meta:
        return meta[key]
    for dot in re.finditer(r"\.", key):
        inner = meta.get(key[: dot.start()])
        value = _value(inner, key[dot.end() :]) if isinstance(inner, Mapping) else _LACKING
        if value is not _LACKING:
            return value
    return _LACKING


def _names(meta: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys that metadata may be filtered by."""
    for key, value in meta.items():
        if isinstance(value, Mapping) and value:
            yield from (f"{key}.{name}" for name in _names(value))
        else:
            yield key


def _matches(value: Any, want: Any) -> bool:
    """Return whether `value` equals `want`, also as text or number (a command line has only texts); for a list,
    whether any element does."""
    if isinstance(want, Range):
        return want.holds(value) or (isinstance(value, list) and any(map(want.holds, value)))
    if isinstance(value, list) and not isinstance(want, list):
        return any(_matches(member, want) for member in value)
    as_text = isinstance(want, str) and value is not None and want in (str(value), json.dumps(value))  # True, true
    return bool(value == want) or as_text or (isinstance(want, str) and _is_same(value, want))


def _is_same(value: Any, text: str) -> bool:
    """Return whether a value is what a text says: the same words, however their accents are written, or the same
    number: 1999.0, as a column with gaps has it, is "1999"."""
    if isinstance(value, str):
        return not text.isascii() and normalize("NFC", value) == normalize("NFC", text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return Decimal(str(value)) == Decimal(text)
    except InvalidOperation:
        return False
