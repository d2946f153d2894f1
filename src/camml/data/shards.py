"""WebDataset and Parquet shards, here or on object storage, to the LLaVA JSON and the folder of images to train on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camml import durable, formats, plugins
from camml.errors import SampleError


def convert(source: str, out: Path, images: Path | None = None, format: str | None = None) -> tuple[Path, int]:
    """Write the conversations of `source` to `out` and their images to `images`; the file, and how many there are.

    Every machine that does so has the same bytes in both, so the file's hash, which neighbors are checked by, is one.

    Args:
      source: a file, a folder, a pattern or an address; each sample has `conversations`, and mostly an image.
      images: by default a folder beside `out` with its name and "-images".
      format: "webdataset" or "parquet"; by default found by the ending.

    Raises:
      SampleError: something cannot be read, or is no conversation.
      DiskError: something cannot be written.
    """
    name = format or formats.find_format(formats.source(source))
    if not formats.takes_many(name):
        raise SampleError(f"{source}: is {name}, not WebDataset or Parquet; LLaVA JSON is trained on as it is")
    folder = images or out.with_name(f"{out.stem}-images")
    count = 0
    with durable.disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with durable.replacing(out) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        for entry in _entries(plugins.find("formats", name).entries(formats.source(source), folder), folder):
            file.write(("[\n" if not count else ",\n") + json.dumps(entry, ensure_ascii=False))
            count += 1
        if not count:
            raise SampleError(f"{source}: holds no samples")
        file.write("\n]\n")
    durable.sync_folder(out.parent)
    return out, count


def _entries(entries: Iterator[tuple[str, dict[str, Any]]], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries that are conversations, with images relative to `folder`."""
    for place, entry in entries:
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
        yield {"id": entry.get("id"), **({"image": image} if image else {}), "conversations": turns}
