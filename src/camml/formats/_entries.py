"""From one entry of a file to a sample: what every format agrees on."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camml.errors import SampleError
from camml.layouts import find_picture, spellings
from camml.types import Sample, finite, is_nested_too_deeply

Entry = tuple[str, Sample | SampleError]
"""The place of a sample in its file, and the sample or what is wrong with it."""

IMAGE_MARK = "<image>"
_OWN_KEYS = ("id", "image", "text", "conversations")


@dataclass(frozen=True, slots=True)
class Replaced(Sample):
    """A sample whose picture is not where its entry says, so that another one was taken for it.

    Attributes:
      named: the picture that the entry names.
    """

    named: str = ""

    def plain(self) -> Sample:
        """Return the sample alone."""
        return Sample(self.id, self.text, self.image, self.meta)


class BadEntry(Exception):
    """The fault of an entry, to be completed with its file, place and id."""


TextOf = Callable[[Mapping[str, Any]], str]


def find(entry: object, place: str, path: Path | str, images: Path, text_of: TextOf, *, alone: bool = False) -> Entry:
    """Return the sample in an entry, or the error that names file, place and id.

    Args:
      entry: what the file holds at `place`.
      images: the folder at which image paths start.
      text_of: the text of an entry: `text_of_turns`, `plain_text` or `any_text`.
      alone: an entry may be a picture alone, without a text.
    """
    id = ""
    try:
        if not isinstance(entry, Mapping):
            raise BadEntry(f"is {kind(entry)}, not an object with the keys id, image and text")
        id = _id(entry)
        meta = {key: value for key, value in entry.items() if key not in _OWN_KEYS}
        if is_nested_too_deeply(meta):
            raise BadEntry("its extra keys are nested too deeply; write them flatter, or leave them out")
        meta = finite(meta)
        text = text_of(entry).strip()
        if not text and not (alone and entry.get("image")):
            raise BadEntry("has no text; write one, or leave the sample out")
        _check_characters("text", text)
        _check_characters("extra keys", _as_json(meta), nul_ok=True)
        image, replaces = _image(entry.get("image"), images)
        return place, Replaced(id, text, image, meta, replaces) if replaces else Sample(id, text, image, meta)
    except BadEntry as error:
        sample = f" (id {id!r})" if id else ""
        return place, SampleError(f"{path}: {place}{sample}: {error}")


def folder_of_images(path: Path, images: Path | None) -> Path:
    """Return the absolute folder at which image paths start: the one given, or that of the file."""
    return Path(os.path.abspath(path.parent if images is None else images))


def plain_text(entry: Mapping[str, Any]) -> str:
    """Return the text under the key `text`: a string, or a list of strings that are joined."""
    if "text" not in entry:
        raise BadEntry(f"has no text; its keys are {_list(entry)}")
    text = entry["text"]
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        text = "".join(text)
    if not isinstance(text, str):
        raise BadEntry(f"its text is {kind(text)}; it must be a string or a list of strings")
    return text.replace(IMAGE_MARK, "")


def text_of_turns(entry: Mapping[str, Any]) -> str:
    """Join all turns of a conversation, as the official datastores have them: questions stripped, answers as is."""
    if "conversations" not in entry:
        raise BadEntry(f"has no conversations; its keys are {_list(entry)}")
    turns = entry["conversations"]
    if not isinstance(turns, list):
        raise BadEntry(f"its conversations are {kind(turns)}; they must be a list of turns")
    parts = []
    for number, turn in enumerate(turns, 1):
        value = turn.get("value") if isinstance(turn, Mapping) else None
        if not isinstance(value, str):
            raise BadEntry(f'turn {number} must be {{"from": "human" or "gpt", "value": "..."}} with a string')
        value = value.replace(IMAGE_MARK, "")
        parts.append(value if turn.get("from") == "gpt" else value.strip())
    return "".join(parts)


def any_text(entry: Mapping[str, Any]) -> str:
    """Return the text of the turns where there are some, else the plain text."""
    return text_of_turns(entry) if entry.get("conversations") is not None else plain_text(entry)


def kind(value: object) -> str:
    """Return the kind of a JSON value, in words."""
    words = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def _id(entry: Mapping[str, Any]) -> str:
    if "id" not in entry:
        raise BadEntry(f'has no id; give each sample its own, such as "id": "cat-1" (its keys are {_list(entry)})')
    id = entry["id"]
    if isinstance(id, bool) or not isinstance(id, str | int):
        raise BadEntry(f"its id is {kind(id)}; it must be a string or an integer")
    id = str(id)
    if not id.strip():
        raise BadEntry("its id is empty; give each sample its own")
    return id


def _image(value: object, images: Path) -> tuple[Path | None, str]:
    """Return the path of an image, wherever below `images` published folders may hold it, and the name if another."""
    if value is None or value == "":
        return None, ""
    if not isinstance(value, str):
        raise BadEntry(f"its image is {kind(value)}; it must be the path of one image, or null")
    if "://" in value:
        raise BadEntry(f"its image is the address {value!r}; download it and give the path")
    _check_characters("image", value)
    named = Path(os.path.join(images, value))
    there = find_picture(images, value) or named
    return there, "" if there == named or str(there) in spellings(str(named)) else value


def _check_characters(part: str, text: str, *, nul_ok: bool = False) -> None:
    if "\0" in text and not nul_ok:
        raise BadEntry(f"its {part} has a NUL character; remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadEntry(f"its {part} has half a character ({text[error.start]!r}); write it again") from error


def _as_json(meta: Mapping[str, Any]) -> str:
    return json.dumps(meta, ensure_ascii=False) if meta else ""


def _list(entry: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, list(entry)[:8])) or "none"
