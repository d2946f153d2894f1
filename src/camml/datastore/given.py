"""Samples and ids as a caller in Python gives them, of the types that they must have."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from camml.datastore.table import OnBad
from camml.errors import SampleError
from camml.types import Sample, finite, is_nested_too_deeply


def ids_of(given: str | Iterable[str]) -> list[str]:
    """Return the ids given, one or several.

    Raises:
      SampleError: one is no text.

    Example:
      >>> ids_of("12")
      ['12']
    """
    ids = [given] if isinstance(given, str) else list(given)
    for id in ids:
        if not isinstance(id, str):
            raise SampleError(f"the id {id!r} is {kind_of(id)}, not a str; give ids as texts")
    return ids


def typed(samples: Iterable[Sample], on_bad: OnBad) -> Iterator[Sample]:
    """Yield the samples whose parts have the types of `Sample`; a path may be given as a text.

    Numbers in `meta` that JSON does not have (not a number, infinity) become None, as those of files do.

    Args:
      on_bad: called with each other sample and the reason.

    Raises:
      SampleError: something is no sample at all, or only one is given.
    """
    if isinstance(samples, Sample):
        raise SampleError("one Sample was given, not several; give a list: [sample]")
    if not isinstance(samples, Iterable):
        raise SampleError(f"{kind_of(samples)} was given, not samples; give an iterable of camml.Sample")
    for number, sample in enumerate(samples, 1):
        place = f"sample {number} of the input"
        if not isinstance(sample, Sample):
            raise SampleError(f"{place} is {kind_of(sample)}, not a Sample; give an iterable of camml.Sample")
        image = sample.image
        if image is not None and not isinstance(image, Path) and isinstance(image, str | os.PathLike):
            sample = replace(sample, image=Path(image))
        if problem := _problem(sample):
            on_bad(sample, SampleError(f"{place} (id {sample.id!r}) {problem}"))
            continue
        if sample.meta and not is_nested_too_deeply(sample.meta) and (meta := finite(sample.meta)) != sample.meta:
            sample = replace(sample, meta=meta)
        yield sample


def _problem(sample: Sample) -> str | None:
    """Say which part of a sample has another type; return None where none has."""
    for name, part, wanted, called in (
        ("an id", sample.id, str, "str"),
        ("a text", sample.text, str, "str"),
        ("an image", sample.image, Path | None, "Path"),
        ("a meta", sample.meta, Mapping, "dict"),
    ):
        if not isinstance(part, wanted):
            return f"has {name} that is {kind_of(part)}, not a {called}; correct it"
    for inner in () if is_nested_too_deeply(sample.meta) else _objects_in(sample.meta):
        for key in inner:
            is_whole = isinstance(key, int) and not isinstance(key, bool)  # which is stored as its text
            if not isinstance(key, str) and (not is_whole or str(key) in inner):
                return (
                    f"has a meta with the key {key!r} that is {kind_of(key)}, not a str; JSON has texts alone as keys"
                )
    return None


def _objects_in(value: Any) -> Iterator[Mapping[Any, Any]]:
    """Yield an object of JSON and all objects in it."""
    if isinstance(value, Mapping):
        yield value
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _objects_in(inner)


def kind_of(value: object) -> str:
    """Return the type of a value, in words.

    Example:
      >>> kind_of(5)
      'an int'
    """
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
