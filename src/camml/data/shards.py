"""WebDataset and Parquet shards, here or on object storage, to the LLaVA JSON and the folder of images to train on."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camml import durable, formats, plugins
from camml.errors import OptionError, SampleError


def convert(
    source: str, out: Path, images: Path | None = None, format: str | None = None, *, overwrite: bool = False
) -> tuple[Path, int]:
    """Write the conversations of `source` to `out` and their images to `images`; return the file and their number.

    Every machine that does so has the same bytes in both, so the file's hash, which neighbors are checked by, is one.

    Args:
      source: a file, a folder, a pattern or an address; each sample has `conversations`, and mostly an image.
      images: by default a folder beside `out` with its name and "-images".
      format: "webdataset" or "parquet"; by default found by the ending.
      overwrite: replace a file that is at `out` already.

    Raises:
      OptionError: there is a file at `out`, or it is one of the source.
      SampleError: something cannot be read, has no id, or is no conversation.
      DiskError: something cannot be written.
    """
    given = formats.source(source)
    name = format or formats.find_format(given)
    if not formats.takes_many(name):
        raise SampleError(f"{source}: is {name}, not WebDataset or Parquet; LLaVA JSON is trained on as it is")
    shards = plugins.find("formats", name)
    _check_out(out, given, shards.SUFFIXES, overwrite)
    folder = images or out.with_name(f"{out.stem}-images")
    count = 0
    with durable.disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with durable.replacing(out) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        for entry in _entries(shards.entries(given, folder), folder):
            file.write(("[\n" if not count else ",\n") + json.dumps(entry, ensure_ascii=False))
            count += 1
        if not count:
            raise SampleError(f"{source}: holds no samples")
        file.write("\n]\n")
    durable.sync_folder(out.parent)
    return out, count


def _check_out(out: Path, given: Path | str, suffixes: tuple[str, ...], overwrite: bool) -> None:
    """Raise if a file must not be written.

    Args:
      given: what is read.
      suffixes: of the files in it.

    Raises:
      OptionError: it is one of these files or named like them, or there is one and `overwrite` is false.
    """
    if out.name.lower().endswith(suffixes) or (isinstance(given, Path) and out.exists() and out.samefile(given)):
        raise OptionError(f"{out} is what is read, or named like it; give a name that ends in .json")
    if os.path.lexists(out) and not overwrite:
        raise OptionError(f"{out} is there already; give another name, or --overwrite to replace it")


def _check_id(entry: Mapping[str, Any], place: str) -> None:
    """Raise a SampleError if an entry has no id that training can read."""
    if "id" not in entry:
        raise SampleError(f"{place}: has no id; give each entry its own, a text or a whole number")
    id = entry["id"]
    if isinstance(id, bool) or not isinstance(id, str | int) or not str(id).strip():
        kind = "empty" if isinstance(id, str) else json.dumps(id)
        raise SampleError(f"{place}: its id is {kind}; give each entry its own, a text or a whole number")


def _entries(entries: Iterator[tuple[str, dict[str, Any]]], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries that are conversations, with images relative to `folder`."""
    for place, entry in entries:
        _check_id(entry, place)
        turns = entry.get("conversations")
        if isinstance(turns, str):  # as some tables hold it
            try:
                turns = json.loads(turns)
            except ValueError as error:
                raise SampleError(f"{place}: its conversations are text that is not JSON ({error})") from error
        if not isinstance(turns, list):
            raise SampleError(
                f'{place}: has no conversations, a list of {{"from", "value"}}; there is nothing to learn'
            )
        image = entry.get("image")
        if isinstance(image, str) and Path(image).is_relative_to(folder.absolute()):
            image = str(Path(image).relative_to(folder.absolute()))
        yield {"id": entry["id"], **({"image": image} if image else {}), "conversations": turns}
