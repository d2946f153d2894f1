"""`camml chat`: a conversation at the terminal, with everything loaded once."""

import argparse
import io
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from camml.cli import EXIT_BAD_INPUT
from camml.cli._answering import (
    add_decoding,
    add_model,
    add_search,
    assistant_of,
    check_samples,
    collection_of,
    decoding_of,
    where_of,
)
from camml.cli._output import check_unicode, neighbor_as_text
from camml.cli.ask import check_given
from camml.errors import CaMMLError, OptionError
from camml.passages import check_passages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from camml.answering import Decoding
    from camml.assistant import Answer, Assistant, Collection, Ready
    from camml.prompts import Turn
    from camml.types import Where

SUMMARY = "Ask one question after another; the model, the datastore and what was said stay at hand."

HELP = """/image FILE|URL  begin a new conversation about this picture; /image alone: about none
/evidence        show what the last answer was made from
/forget          begin a new conversation
/help            show this
/quit            leave (or Ctrl-D)"""
PROMPT = "> "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--store", metavar="DIR", help="a datastore, or INDEX_FILE:DATA_JSON as published")
    parser.add_argument("--image", metavar="FILE|URL", help="the picture to begin with")
    add_search(parser)
    add_model(parser)
    add_decoding(parser)


def run(args: argparse.Namespace) -> int:
    """Answer what is typed, or piped in line by line, until it ends."""
    if args.shots is not None and args.shots < 1:
        raise OptionError(f"--shots is {args.shots}; give 1 or more, or leave out --store")
    check_passages(args.passages or "auto")
    check_given(args)
    check_samples(args)
    chat, watched, failed = Chat(args), sys.stdin.isatty(), False
    if watched:
        print(HELP)
    for line in _lines():
        if line == "/quit":
            break
        try:
            chat.hear(line)
        except CaMMLError as error:  # a picture that is not there ends the turn, not the conversation
            print(f"camml: error: {error}", file=sys.stderr)
            failed = True
    return EXIT_BAD_INPUT if failed and not watched else 0  # a script looks at it, a person has read what was wrong


class Chat:
    """A conversation: what was said, the picture it is about, and what answers.

    Args:
      args: the options of the verb.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.picture: Image.Image | None = _opened(args.image) if args.image else None
        self.assistant: Assistant = assistant_of(args)
        self.decoding: Decoding = decoding_of(args)
        self.collection: Collection | None = collection_of(args, self.assistant) if args.store else None
        self.shots: int = args.shots or self.assistant.shots
        self.where: Where | None = where_of(args)
        self.passages: str | None = args.passages
        self.history: tuple[Turn, ...] = ()
        self.last: Answer | None = None
        _ = self.assistant.answerer  # loaded before the first question

    def hear(self, line: str) -> None:
        """Do what a line says: a command that begins with a slash, or a question.

        Raises:
          CaMMLError: it cannot be done.
        """
        word, _, rest = line.partition(" ")
        if word == "/image":
            self.picture = _opened(rest.strip()) if rest.strip() else None
            self.history = ()  # what was said of another picture misleads
        elif word == "/evidence":
            self._show()
        elif word == "/forget":
            self.history, self.last = (), None
        elif word == "/help":
            print(HELP)
        elif word.startswith("/"):
            raise OptionError(f"no command {word!r}; there are: /image, /evidence, /forget, /help, /quit")
        else:
            self._answer(line)

    def _answer(self, question: str) -> None:
        """Print the answer as it comes, and remember it."""
        from camml.prompts import Turn

        check_unicode(question, "the question")
        ready = self._ready(question)
        pieces = []
        for piece in self.assistant.stream(ready, self.decoding):
            pieces.append(piece)
            print(piece, end="", flush=True)
        print(flush=True)
        self.last = self.assistant.streamed(ready, "".join(pieces), self.decoding)
        if self.last.refused and self.last.reason:
            print(f"refused: {self.last.reason}")
        else:
            self.history = (*self.history, Turn(question, self.last.text))

    def _ready(self, question: str) -> "Ready":
        from camml.types import Query

        query = Query(question, self.picture, history=self.history)
        if self.collection is None:
            [ready] = self.assistant.ready([query], [()], passages=self.passages)
            return ready
        contexts = self.collection.find([query], min(self.shots, len(self.collection)), self.where)
        [ready] = self.collection.ready([query], contexts, self.passages)
        return ready

    def _show(self) -> None:
        if self.last is None:
            print("nothing was asked yet")
            return
        print("\n".join(map(neighbor_as_text, self.last.evidence)) or "no evidence: answered without samples")
        for note in self.last.notes:
            print(f"note: {note}")


def _lines() -> "Iterator[str]":
    """Yield the lines that are typed, with editing and history, or those that are piped in; none that are empty."""
    watched = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a line that is not UTF-8 ends its turn, not the conversation
    if watched:
        with suppress(ImportError):  # some systems have none
            import readline  # noqa: F401 (`input` edits lines with it from then on)
    while True:
        try:
            line = input(PROMPT) if watched else sys.stdin.readline()
        except EOFError:
            print()
            return
        if not watched and not line:
            return
        if line.strip():
            yield line.strip()


def _opened(source: str) -> "Image.Image":
    from camml.images.data_urls import opened
    from camml.layouts import local_path

    return opened(local_path(source))
