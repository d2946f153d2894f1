"""How verbs read small options and print what they found."""

import io
import json
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from camml.errors import OptionError

if TYPE_CHECKING:
    from camml.types import Neighbor, Sample


PASSAGES_HELP = (
    "of texts that the model has no room for, read the passages that the question asks for: auto (default), off, or at "
    "most N tokens of all texts together"
)


def print_json(document: object) -> None:
    """One JSON document on standard output."""
    print(as_json(document, indent=1))


def as_json(document: object, indent: int | None = None) -> str:
    """Return a document as JSON, whose characters are written as escapes where standard output has not all of them."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    return json.dumps(document, ensure_ascii=not unicode, indent=indent, default=str)


def never_fail_to_write() -> None:
    """Let characters that the terminal or file does not have be written as escapes rather than end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def sample_as_json(sample: "Sample") -> dict[str, Any]:
    """A sample as the JSON output of every verb shows it."""
    image = str(sample.image) if sample.image else None
    return {"id": sample.id, "text": sample.text, "image": image, "meta": dict(sample.meta)}


def neighbor_as_json(neighbor: "Neighbor") -> dict[str, Any]:
    """Return a retrieved sample with its score, null where a person chose it, and the passages that were read."""
    score = None if math.isnan(neighbor.score) else round(neighbor.score, 6)
    read = {"passages": [neighbor.sample.text[slice(*span)] for span in neighbor.spans]} if neighbor.spans else {}
    return sample_as_json(neighbor.sample) | {"score": score} | read


def neighbor_as_text(neighbor: "Neighbor") -> str:
    """Return a retrieved sample in two lines: score, id and image; then its text, or what was read of it, shortened."""
    sample = neighbor.sample
    score = "  given" if math.isnan(neighbor.score) else f"{neighbor.score:7.4f}"
    text = f"read: {shorten(neighbor.text)}" if neighbor.spans else shorten(sample.text)
    return f"{score}  {sample.id}  {sample.image or '(no image)'}\n         {text}"


def shorten(text: str, most: int = 160) -> str:
    """`text` in one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def key_values(texts: Sequence[str], flag: str) -> dict[str, str]:
    """The pairs of an option that was given several times as KEY=VALUE.

    Raises:
      OptionError: one is not of that form.
    """
    for text in texts:
        if not text.partition("=")[1] or text.startswith("="):
            raise OptionError(f"{flag} {text!r} is not of the form KEY=VALUE")
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}


def json_value(text: str) -> Any:
    """A number, true, false or null as JSON writes them; all else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def quiet_unless_watched() -> None:
    """Turn off the progress bars of transformers where standard error is no terminal."""
    if not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()
