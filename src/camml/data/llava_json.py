"""LLaVA JSON as conversations to train on; what cannot be trained on is found here, before anything else starts.

Read too are JSON lines, `user` and `assistant` for `human` and `gpt`, and turns with `role` and `content`. Ids and
pictures are those of a datastore of the same file, under whichever of their usual names they stand.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camml.errors import InputError, OptionError, SampleError
from camml.formats import _images, json_entries
from camml.formats._entries import whole
from camml.formats._faults import BadEntry
from camml.formats._names import usual
from camml.formats._texts import IMAGE_MARK, joined
from camml.images import check_image
from camml.prompts import Turn
from camml.types import Query, mended_id

_logger = logging.getLogger("camml")

SPEAKERS = {"user": "human", "assistant": "gpt"}
"""The names of a speaker in other programs, and those in LLaVA JSON."""

SHOWN = 200
"""Characters of a path in a message, which may be a picture in letters."""

Report = Callable[[InputError], None]


@dataclass(frozen=True, slots=True)
class Flags:
    """The names of command-line flags that messages recommend: each verb may call them differently."""

    images: str = "--image_folder DIR"
    skip: str = "--on_bad_sample skip"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Questions with their answers, the first about an image if there is one."""

    id: str
    turns: tuple[Turn, ...]
    image: Path | None = None

    @property
    def words(self) -> int:
        """The approximate length in words, known without a tokenizer."""
        return sum(len(turn.question.split()) + len((turn.answer or "").split()) for turn in self.turns)

    @property
    def query(self) -> Query:
        """The query for its context: the first question, with the image."""
        return Query(self.turns[0].question, self.image, self.id)


def read(
    path: Path,
    images: Path | None = None,
    *,
    on_bad: str = "stop",
    report: Report | None = None,
    decode_images: bool = False,
    flags: Flags | None = None,
) -> list[Conversation]:
    """Read the conversations of a file of LLaVA JSON, or of JSON lines.

    Args:
      images: the folder at which image paths start; by default that of `path`.
      on_bad: "stop" at what cannot be trained on, with all of it in the message, or "skip" it.
      report: called with the reason for each that is skipped.
      decode_images: read every image to its last pixel, instead of only making sure that the file is there.
      flags: for messages; by default those of `camml train`.

    Raises:
      OptionError: `on_bad` is neither "stop" nor "skip".
      SampleError: the file cannot be read, or (with "stop") holds something that cannot be trained on.
    """
    if on_bad not in ("stop", "skip"):
        raise OptionError(f"{(flags or Flags()).skip.split()[0]} is {on_bad!r}; it can be: stop, skip")
    flags = flags or Flags()
    root = Path(os.path.abspath(path.parent if images is None else images))
    conversations: list[Conversation] = []
    problems: list[InputError] = []
    names: set[str] = set()
    counts: dict[str, int] = {}
    mended: list[str] = []
    for number, word, entry in json_entries(path):
        place = f"{path}: {word} {number}"
        try:
            if isinstance(entry, SampleError):
                raise entry
            named = _named(entry, root, place)
            name = _unique(named, number, names, counts, place, mended)
            conversation = _conversation(named, name, path, root, place, flags)
            if decode_images and conversation.image:
                check_image(conversation.image)
            conversations.append(conversation)
        except InputError as error:
            problem = error if isinstance(error, SampleError) else SampleError(f"{place}: {error}")
            problems.append(problem)
            if on_bad == "skip" and report:
                report(problem)
    if mended and os.environ.get("RANK", "0") == "0":
        _logger.warning("%s: %d ids that repeat or hold a slash were changed, such as %s", path, len(mended), mended[0])
    if problems and on_bad == "stop":
        raise SampleError(_summary(problems, flags))
    if not conversations:
        raise SampleError(f"{path}: holds no conversation to train on" + (f"; {problems[0]}" if problems else ""))
    return conversations


def _summary(problems: list[InputError], flags: Flags) -> str:
    """Return one line for all bad entries, the first few in full."""
    if len(problems) == 1:
        return f"{problems[0]}; mend it, or leave it out with {flags.skip}"
    more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    first = "; ".join(map(str, problems[:3]))
    return f"{len(problems)} samples cannot be trained on: {first}{more}; mend them, or use {flags.skip}"


def _named(entry: object, root: Path, place: str) -> Mapping[str, Any]:
    """Return an entry with its id and its picture under the keys `id` and `image`, as a datastore of the file has them.

    Raises:
      SampleError: it is no object, or has several pictures.
    """
    if not isinstance(entry, Mapping):
        raise SampleError(f"{place}: is not an object with the keys id and conversations")
    try:
        return usual(entry, root)
    except BadEntry as error:
        raise SampleError(f"{place}: {error}") from None


def _unique(
    entry: Mapping[str, Any], number: int, names: set[str], counts: dict[str, int], place: str, mended: list[str]
) -> str:
    """Return the id of an entry, mended as in a datastore of the same file; its number where it has none.

    Args:
      names, counts: the ids before it, and what `mended_id` keeps of them.
    """
    raw = number if entry.get("id") is None else whole(entry["id"])
    if isinstance(raw, bool) or not isinstance(raw, str | int) or not str(raw).strip():
        raise SampleError(f"{place}: its id is {raw!r}; it must be a text or a whole number; leave it out for {number}")
    name = mended_id(str(raw), names, counts)
    names.add(name)
    if name != str(raw):
        mended.append(f"{str(raw)!r} to {name!r}")
    return name


def _conversation(
    entry: Mapping[str, Any], name: str, path: Path, root: Path, place: str, flags: Flags
) -> Conversation:
    """Convert one entry of the file `path` to a conversation.

    Raises:
      SampleError: its turns, its answers, its image or its `<image>` marks are not as they should be.
      DiskError: a picture in an address cannot be written.
    """
    where = f"{place} (id {name!r})"
    try:
        values = _values(_first_of(entry, "conversations", "messages"), where)
        image = _image(entry.get("image"), path, root, flags)
    except BadEntry as error:
        raise SampleError(f"{where}: {error}") from None
    marks = [value.count(IMAGE_MARK) for value in values]
    wanted = [1 if image else 0] + [0] * (len(values) - 1)
    if marks != wanted:
        has = "an image" if image else "no image"
        raise SampleError(
            f"{where}: it has {has} and {sum(marks)} {IMAGE_MARK} marks; "
            f"there must be {'one, in the first question' if image else 'none'}"
        )
    pairs = zip(values[::2], values[1::2], strict=True)
    turns = tuple(Turn(question.replace(IMAGE_MARK, "").strip(), answer) for question, answer in pairs)
    for number, turn in enumerate(turns, 1):
        if not (turn.answer or "").strip():
            raise SampleError(f"{where}: answer {number} is empty; there is nothing to learn from it")
    return Conversation(name, turns, image)


def _values(turns: object, where: str) -> list[str]:
    """Return the texts of turns that alternate human, gpt, human, gpt, ..."""
    if not isinstance(turns, list) or not turns:
        raise SampleError(f"{where}: has no conversations")
    values = [_value(turn, number, where) for number, turn in enumerate(turns)]
    if len(values) % 2:
        raise SampleError(f"{where}: the last question has no answer")
    return values


def _first_of(entry: Mapping[str, Any], *keys: str) -> Any:
    """Return what stands under the first of some keys that has a value; tables give all keys to all of their rows."""
    return next((entry[key] for key in keys if entry.get(key) is not None), None)


def _value(turn: object, number: int, where: str) -> str:
    """Return the text of a turn, of which those with even numbers ask.

    Raises:
      SampleError: it is of another speaker, or has no text.
      BadEntry: a part of it is no text.
    """
    wanted = ("human", "gpt")[number % 2]
    named: Mapping[str, Any] = turn if isinstance(turn, Mapping) else {}
    speaker, value = _first_of(named, "from", "role"), _first_of(named, "value", "content")
    if speaker == "system":
        raise SampleError(f"{where}: turn {number + 1} is of 'system', which training has no place for; leave it out")
    if isinstance(value, list):
        value = joined(value, number + 1)
    if SPEAKERS.get(str(speaker), speaker) != wanted or not isinstance(value, str):
        shape = f'{{"from": "{wanted}", "value": "..."}}'
        if named.get("from") is None and "role" in named:
            shape = f'{{"role": "{("user", "assistant")[number % 2]}", "content": "..."}}'
        raise SampleError(f"{where}: turn {number + 1} must be {shape} with a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # no tokenizer takes it
        half = ascii(value[error.start])
        raise SampleError(
            f"{where}: turn {number + 1} has an unpaired surrogate ({half}), not valid Unicode; retype the text"
        ) from None
    return value


def _image(value: object, path: Path, root: Path, flags: Flags) -> Path | None:
    """Return the image of an entry, wherever below `root` published folders may hold it.

    Raises:
      BadEntry: it is none, or not there.
      DiskError: a picture in an address cannot be written.
    """
    image, _ = _images.place(value, path, root)
    if image is None:
        return None
    name = str(image)
    if not os.path.isfile(name):
        name = name if len(name) <= SHOWN else name[:SHOWN] + "..."
        raise BadEntry(f"no image at {name}; say where images start with {flags.images}")
    if not image.stat().st_size:
        raise BadEntry(f"its image {image} is empty (0 bytes)")
    return image
