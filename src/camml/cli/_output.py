"""Small options as verbs read them, and what they found as they print it."""

import argparse
import io
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.errors import InputError, OptionError

if TYPE_CHECKING:
    from camml.types import Neighbor, Sample


PASSAGES_HELP = (
    "of texts that the model has no room for, read the passages that the question asks for: auto, off, or at most N "
    "tokens of all texts together; N-M: the same, but the whole nearest text if that has at most M; first:N: the first "
    "N tokens, whatever is asked (default: what suits the model)"
)


def print_json(document: object) -> None:
    """Print one JSON document on standard output."""
    print(as_json(document, indent=1))


def as_json(document: object, indent: int | None = None) -> str:
    """Return a document as JSON, whose characters are written as escapes where standard output has not all of them."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    return json.dumps(document, ensure_ascii=not unicode, indent=indent, default=str)


def replace_closed() -> None:
    """Put the null device in place of standard streams that were closed, as with `>&-`: no other file gets a number of
    theirs then, and what is printed goes nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (for as long as the process)


def never_fail_to_write() -> None:
    """Let characters that the terminal or file does not have be written as escapes rather than end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def sample_as_json(sample: "Sample") -> dict[str, Any]:
    """Return a sample as the JSON output of every verb shows it."""
    image = str(sample.image) if sample.image else None
    return {"id": sample.id, "text": sample.text, "image": image, "meta": dict(sample.meta)}


def neighbor_as_json(neighbor: "Neighbor") -> dict[str, Any]:
    """Return a retrieved sample with its score, null where a person chose it, and the passages that were read."""
    score = None if math.isnan(neighbor.score) else round(neighbor.score, 6)
    read = {"passages": [neighbor.sample.text[slice(*span)] for span in neighbor.spans]} if neighbor.spans else {}
    by: dict[str, Any] = {"found_by": neighbor.found_by} if neighbor.found_by else {}
    by |= {} if neighbor.likeness is None else {"likeness": round(neighbor.likeness, 6)}
    comes_from = {"supporting": neighbor.sample.text[slice(*neighbor.supporting)]} if neighbor.supporting else {}
    return sample_as_json(neighbor.sample) | {"score": score} | by | read | comes_from


def neighbor_as_text(neighbor: "Neighbor") -> str:
    """Return a retrieved sample in lines: score, id and image; its text, or what was read of it, shortened; and the
    passage that the answer was taken from."""
    sample = neighbor.sample
    score = "  given" if math.isnan(neighbor.score) else f"{neighbor.score:7.4f}"
    text = f"read: {shorten(neighbor.text)}" if neighbor.spans else shorten(sample.text)
    if neighbor.supporting:
        text += f"\n     from: {shorten(sample.text[slice(*neighbor.supporting)])}"
    return f"{score}  {sample.id}  {sample.image or '(no image)'}\n         {text}"


def sentence(summary: str) -> str:
    """Return a line of the help as a sentence, with the case of its names kept."""
    return f"{summary[0].upper()}{summary[1:]}."


def shorten(text: str, most: int = 160) -> str:
    """Return a text in one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def given(text: str) -> str:
    """Return what an option names; one that is empty, as an unset variable of the shell is, is an error of its own."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give what it is to name")
    return text


def given_path(text: str) -> Path:
    """Return the path that an option names, which an empty text is not: that would be the working directory."""
    return Path(given(text))


def check_unicode(text: str, name: str) -> None:
    """Raise an InputError if a text holds bytes that are not UTF-8, which Python passes on as unpaired surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} is not UTF-8 text; set the terminal or its file to UTF-8") from None


def key_values(texts: Sequence[str], flag: str) -> dict[str, str]:
    """Return the pairs of an option that was given several times as KEY=VALUE.

    Raises:
      OptionError: one is not of that form, or a key has two values.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise OptionError(f"{flag} {text!r} is not of the form KEY=VALUE")
        if pairs.setdefault(key, value) != value:
            raise OptionError(f"{flag} gives {key!r} twice, as {pairs[key]!r} and as {value!r}; give it once")
    return pairs


def conditions(texts: Sequence[str]) -> "dict[str, Any]":
    """Return the conditions of `--where`: values by their keys, and ranges where KEY<=VALUE or the like was given.

    Raises:
      OptionError: one is not of that form, the bound of a range is neither a number nor a date, or two of one key
        cannot both hold.
    """
    from camml.types import is_bound

    parted: dict[str, list[tuple[str, str]]] = {}
    for text in texts:
        key, sign, value = _parted(text)
        if sign != "=" and not is_bound(value):
            raise OptionError(f"--where {text!r}: {value!r} is neither a number nor a date such as 2024-05-31")
        parted.setdefault(key, []).append((sign, value))
    return {key: _together(key, pairs) for key, pairs in parted.items()}


def _together(key: str, pairs: Sequence[tuple[str, str]]) -> Any:
    """Return one value or one range for all conditions of a key: a value that lies in its ranges stands for them."""
    from camml.types import Range

    values = [value for sign, value in pairs if sign == "="]
    bounds = [(sign, bound) for sign, bound in pairs if sign != "="]
    for sign, other in (*(("=", value) for value in values[1:]), *bounds):
        if values and not (other == values[0] if sign == "=" else Range(((sign, other),)).holds(values[0])):
            raise OptionError(
                f"--where {f'{key}={values[0]}'!r} and {f'{key}{sign}{other}'!r} cannot both hold; leave one out (in "
                "Python `where` may be a function, which can let several values through)"
            )
    if values:
        return values[0]
    try:
        return Range(tuple(bounds)).tightest()
    except ValueError as error:
        raise OptionError(
            f"the bounds that --where sets for {key!r} are of two kinds: {error}; give one kind"
        ) from None


def _parted(text: str) -> tuple[str, str, str]:
    """Return key, sign and value of one condition."""
    match = re.fullmatch(r"([^=<>]+)(<=|>=|<|>|=)(?![=<>])(.*)", text, re.DOTALL)  # `==`, `=>` and `=<` are no signs
    if match is None:
        raise OptionError(f"--where {text!r} is not of the form KEY=VALUE, KEY<=VALUE or KEY>=VALUE")
    key, sign, value = match.groups()
    return (key, sign, value) if sign == "=" else (key.strip(), sign, value.strip())


def numbers(texts: Sequence[str], flag: str) -> dict[str, float] | None:
    """Return the pairs of an option given as NAME=NUMBER[,NAME=NUMBER], None where there are none.

    Raises:
      OptionError: one is not of that form.
    """
    pairs = key_values([part for text in texts for part in text.split(",")], flag)
    try:
        return {name: float(value) for name, value in pairs.items()} or None
    except ValueError:
        raise OptionError(f"{flag} {','.join(texts)!r} should hold numbers, such as image=2,text=1") from None


def json_value(text: str) -> Any:
    """Return a number, true, false or null as JSON writes them; all else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def quiet_unless_watched() -> None:
    """Turn off the progress bars of transformers where standard error is no terminal."""
    if not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()
