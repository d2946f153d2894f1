"""Pictures for records, of the training classes of a FactPix build: one to store, one in another style to ask with."""

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camml.errors import SampleError

BUILD = "build it with `camml bench-data build --out DIR`"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures of one thing, by their paths from the folder that is written."""

    stored: str
    asked: str


def pairs(factpix: Path, out: Path) -> list[Pair]:
    """Return a pair for each training class of the build in `factpix`, in an order that does not change.

    Raises:
      SampleError: there is no such build.
    """
    stored, asked = (_by_class(factpix / name) for name in ("store_train.json", "train.json"))
    way = os.path.relpath(factpix.resolve(), out.resolve())
    return [
        Pair(f"{way}/{sorted(images)[0]}", f"{way}/{sorted(asked[key])[0]}")
        for key, images in sorted(stored.items())
        if asked.get(key)
    ]


def _by_class(file: Path) -> dict[tuple[str, str], set[str]]:
    try:
        records: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        images: dict[tuple[str, str], set[str]] = defaultdict(set)
        for record in records:
            images[record["meta"]["topic"], record["meta"]["class"]].add(record["image"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SampleError(f"{file} is not a file of a FactPix build; {BUILD}") from error
    return images
