"""A list in a JSON file, one element at a time, so that a file larger than the memory can be read."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from camml.errors import SampleError
from camml.formats._faults import marked_if_repeated
from camml.formats._text import ending, not_utf8, open_text

CHUNK = 2**20
_SPACE = " \t\r\n"
_KINDS = {"{": "an object", '"': "a string", "t": "true", "f": "false", "n": "null"}
_OF_COCO = ("annotations", "questions")
"""Keys of the files of COCO and VQA, with `images`, beside lists that belong together."""
_AS_LIST = (
    " (of COCO or VQA? write a list with an entry for each annotation: its id, the file_name of its picture as image, "
    "and its caption, or question and answer, as text)"
)
_EXAMPLE = '[{"id": "...", "image": "...", "text": "..."}, ...]'


def looks_like_json(path: Path) -> bool:
    """Return True if a file is named .json or .json.gz, or begins as a list does."""
    if ending(path) == ".json":
        return path.is_file()
    if ending(path) in (".jsonl", ".ndjson", ".csv", ".tsv") or not path.is_file():
        return False
    try:
        with open_text(path) as stream:
            return stream.read(CHUNK).lstrip().startswith(b"[")
    except SampleError:
        return False


def first(path: Path) -> Any:
    """Return the first element of the list in a file; None where there is none that can be read."""
    try:
        return next(elements(path), None)
    except SampleError:
        return None


def elements(path: Path) -> Iterator[Any]:
    """Yield the elements of the list in a JSON file; NaN and Infinity, which JSON does not have, as None.

    Raises:
      SampleError: no list, no JSON, not UTF-8, or cut short; it names the element and the line.
    """
    with open_text(path) as stream:
        text = _Text(path, stream)
        text.begin()
        while text.more():
            yield text.value()
        text.end()


class _Text:
    """A window on the text of a file, which grows until it holds a whole element."""

    def __init__(self, path: Path, stream: BinaryIO):
        self.path = path
        self.stream = stream
        self.window = ""
        self.at = 0
        self.line = 1
        self.number = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder(parse_constant=lambda _: None, object_pairs_hook=marked_if_repeated)

    def begin(self) -> None:
        """Step into the list."""
        start = self._peek()
        if start != "[":
            self._peek_word()
            raise SampleError(f"{self.path}: {self._what_instead(start)}; expected {_EXAMPLE}")
        self.at += 1

    def more(self) -> bool:
        """Step onto the next element and return True, or out of the list and return False."""
        sign = self._peek()
        if sign == "]":
            self.at += 1
            return False
        if self.number:
            if sign != ",":
                raise self._bad("expected ',' or ']' here", self.at)
            self.at += 1
            self._peek()
        self.number += 1
        return True

    def value(self) -> Any:
        """Return the element here."""
        while True:
            try:
                value, end = self._json.raw_decode(self.window, self.at)
            except json.JSONDecodeError as error:
                if not self._grow():
                    raise self._bad(error.msg, error.pos) from error
            except RecursionError as error:
                raise self._bad("nested too deeply", self.at) from error
            except ValueError as error:  # an integer of more digits than Python reads
                raise self._bad(str(error), self.at) from error
            else:
                # At the window's end a number may go on behind it, as 1 does in "1e+".
                if end + len("e+") < len(self.window) or not self._grow():
                    self.at = end
                    return value

    def end(self) -> None:
        """Raise if anything but white space follows."""
        if self._peek():
            raise self._bad("there is more after the end of the list", self.at)

    def _peek(self) -> str:
        """Return the next character that is not white space; "" at the end of the file."""
        while True:
            while self.at < len(self.window) and self.window[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.window):
                return self.window[self.at]
            if not self._grow():
                return ""

    def _grow(self) -> bool:
        """Drop what is behind, and add as much as is ahead (so that growing stays linear in all); False at the end."""
        offset = self.stream.tell() - len(self._decoder.getstate()[0])
        piece = self.stream.read(max(CHUNK, len(self.window) - self.at))
        try:
            more = self._decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise not_utf8(self.path, "", offset + error.start, byte) from error
        if not piece:
            return False
        self.line += self.window.count("\n", 0, self.at)
        self.window = self.window[self.at :] + more
        self.at = 0
        return True

    def _bad(self, message: str, at: int) -> SampleError:
        line = self.line + self.window.count("\n", 0, at)
        cut = " (the file ends here: it was cut short)" if at >= len(self.window.rstrip(_SPACE)) else ""
        return SampleError(f"{self.path}: line {line}, in entry {self.number}: not JSON: {message}{cut}")

    def _peek_word(self) -> None:
        while len(self.window) - self.at < 20 and self._grow():
            pass

    def _what_instead(self, start: str) -> str:
        if not start:
            return "holds nothing but white space"
        if start.isdigit() or start == "-":
            return "is a number, not a list of samples"
        word = self.window[self.at : self.at + 20]
        known = start in '{"' or word.startswith(("true", "false", "null"))
        if not known:
            return f"is not JSON (it begins with {word!r})"
        hint = ""
        if start == "{":
            coco = any(f'"{key}"' in self.window for key in _OF_COCO)
            hint = _AS_LIST if coco else " (one object per line? then name it .jsonl)"
        return f"is {_KINDS[start]}, not a list of samples{hint}"
