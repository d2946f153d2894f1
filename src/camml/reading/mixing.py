"""Several sets of training data as one: their conversations in one file, their neighbors in one table."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from camml.durable import digest
from camml.errors import OptionError, SampleError
from camml.factpix import writing
from camml.formats import _images, json_entries
from camml.formats._entries import whole
from camml.formats._faults import BadEntry
from camml.formats._names import usual
from camml.neighbors import NeighborTable, Origin, compute
from camml.refusals import REFUSAL
from camml.types import Context, Query, mended_id

CONVERSATIONS, NEIGHBORS = "conversations.json", "neighbors"

SHOTS = 3
"""Samples of a row in which its answers are looked for: as many as CaMML mini reads."""

UNTOLD = ("yes", "no", REFUSAL)
"""Answers that stand in no sample."""


def mix(out: Path, parts: Sequence[tuple[Path, Path]], told: Sequence[tuple[Path, Path]] = ()) -> dict[str, int]:
    """Write the joined data to the folder `out`; return the rows of each part.

    Args:
      out: a new or empty folder.
      parts: conversations (LLaVA JSON or JSON lines, whose images are found from its folder), and the table of their
        neighbors.
      told: more of them, of which only those rows are taken whose answers stand in their nearest samples: retrieval may
        have missed the right ones, and a model that learns such a row learns to invent.

    Raises:
      OptionError: fewer than two parts, or a folder of something else.
      SampleError: not LLaVA JSON or JSON lines, an id that two rows have, or what is no picture of a row.
      StoreError: a table of other conversations.
    """
    number = len(parts) + len(told)
    if number < 2:
        raise OptionError(
            f"there must be two parts or more to mix, not {number}; give --part or --told-part DATA TABLE for each"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"{out} is not empty; give a new or an empty folder")
    rows: list[dict[str, Any]] = []
    contexts: dict[str, Context] = {}
    origins: list[Origin] = []
    sizes: dict[str, int] = {}
    for (data, table), only_told in [*((part, False) for part in parts), *((part, True) for part in told)]:
        entries = list(_entries(data))
        known = NeighborTable.open(table, dataset_hash=digest(data))
        origins.append(known.origin)
        for entry in entries:
            name = mended_id(str(whole(entry["id"])), ())
            if name in contexts:
                raise SampleError(f"{data}: the id {entry['id']!r} is there twice; give each row its own")
            context = known.context(name)
            if only_told and not is_told(_turns(entry, data), context[:SHOTS]):
                continue
            contexts[name] = context
            rows.append(_moved(entry, data, out))
            sizes[str(data)] = sizes.get(str(data), 0) + 1
        sizes.setdefault(str(data), 0)
    if not rows:
        raise SampleError("no row is left to mix: their samples tell none of the answers; give parts by --part")
    written = writing.write_json(out, {CONVERSATIONS: rows})[CONVERSATIONS]

    def retrieve(queries: Sequence[Query], k: int) -> list[Context]:
        return [contexts[query.id or ""][:k] for query in queries]

    compute([Query("", None, name) for name in contexts], retrieve, out / NEIGHBORS, _origin(out, written, origins))
    return sizes


def is_told(turns: Sequence[Mapping[str, str]], context: Context) -> bool:
    """Return whether all answers of a conversation, as LLaVA JSON has it, stand in the texts of its samples.

    "Yes", "no" and "not in the samples" need not.

    Example:
        >>> from camml.types import Neighbor, Sample
        >>> context = (Neighbor(Sample("pump-7", "The pump needs seal 4711."), 0.9),)
        >>> turns = [{"from": "human", "value": "Which seal?"}, {"from": "gpt", "value": "Seal 4711"}]
        >>> is_told(turns, context)
        True
    """
    texts = "\n".join(neighbor.sample.text for neighbor in context).casefold()
    answers = [turn["value"].casefold() for turn in turns if turn["from"] == "gpt"]
    return all(answer in UNTOLD or answer in texts for answer in answers)


def _turns(entry: Mapping[str, Any], data: Path) -> list[dict[str, str]]:
    """Return the conversation of a LLaVA JSON entry.

    Raises:
      SampleError: it has none, or one of something else.
    """
    turns = entry.get("conversations")
    if isinstance(turns, list) and all(
        isinstance(turn, dict) and all(isinstance(turn.get(name), str) for name in ("from", "value")) for turn in turns
    ):
        return turns
    raise SampleError(
        f"{data}: the entry {entry['id']!r} has no conversation; give a list of turns with texts `from` and `value`"
    )


def _origin(out: Path, digest: str, origins: Sequence[Origin]) -> Origin:
    """Return what the joined table was made from: the joined file, and every store."""
    stores = hashlib.sha256(" ".join(origin.store_hash for origin in origins).encode()).hexdigest()
    return Origin(
        dataset=str(out / CONVERSATIONS),
        dataset_hash=digest,
        store=" + ".join(origin.store for origin in origins),
        store_hash=stores,
        generation=0,
        encoder=" + ".join(dict.fromkeys(origin.encoder for origin in origins)),
        mode=" + ".join(dict.fromkeys(origin.mode for origin in origins)),
        k=max(origin.k for origin in origins),
    )


def _entries(data: Path) -> Iterator[Mapping[str, Any]]:
    """Yield each entry of a file, with its id and its picture under the keys that training has for them.

    Raises:
      SampleError: one cannot be read, has no id, or has several pictures.
    """
    for number, word, entry in json_entries(data):
        if isinstance(entry, SampleError):
            raise entry
        try:
            named = usual(entry, data.parent) if isinstance(entry, dict) else {}
        except BadEntry as error:
            raise SampleError(f"{data}: {word} {number}: {error}") from None
        if not isinstance(whole(named.get("id")), str | int):
            raise SampleError(f"{data}: an entry without an id; each row needs its own")
        yield named


def _moved(entry: Mapping[str, Any], data: Path, out: Path) -> dict[str, Any]:
    """Return an entry with the path of its image from the folder `out`.

    Raises:
      SampleError: its image cannot be one.
      DiskError: a picture in an address cannot be written.
    """
    try:
        image, _ = _images.place(entry.get("image"), data, Path(os.path.abspath(data.parent)))
    except BadEntry as error:
        raise SampleError(f"{data}: the entry {entry['id']!r}: {error}") from None
    return {**entry, "image": os.path.relpath(image.resolve(), out.resolve())} if image else dict(entry)
