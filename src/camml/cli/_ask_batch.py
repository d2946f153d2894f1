"""`camml ask --batch`: the questions of a file, a few at a time; an interrupted call goes on where it stopped."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from camml.cli._answering import assistant_of, collection_of, decoding_of, where_of
from camml.cli._output import as_json
from camml.cli.ask import document
from camml.durable import disk_errors
from camml.errors import ImageError, InputError, OptionError, SampleError
from camml.layouts import local_path, spellings

if TYPE_CHECKING:
    from camml.answering import Decoding
    from camml.assistant import Answer, Assistant, Collection, Ready
    from camml.types import Query, Where

AT_ONCE = 8
"""Questions that are answered together."""
START, NEXT = b'{"id": "', b'", "question": "'
"""The beginning of an answer, before its id and after it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A question of the file.

    Attributes:
      id: its own, else the number of its line.
      place: where it stands, for messages.
      image: as it was written.
    """

    id: str
    place: str
    question: str
    image: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers that a file holds already.

    Attributes:
      asked: question and image of each answer by its id.
      cut_at: the bytes before a last line that was cut off; None where there is none.
      unended: the last answer is whole and lacks only the end of its line.
    """

    asked: Mapping[str, tuple[str, str | None]]
    cut_at: int | None = None
    unended: bool = False

    def mend(self, file: TextIO) -> None:
        """Let the next answer begin a line of the file."""
        if self.cut_at is not None:
            file.truncate(self.cut_at)
        if self.unended:
            file.write("\n")


def run(args: argparse.Namespace) -> int:
    """Answer what was not answered before, and write each answer as a line."""
    if args.question is not None:
        raise OptionError("--batch takes the questions from its file; leave out QUESTION")
    if args.context or args.stream or args.attribute:
        raise OptionError("--batch answers from --store, without --context, --stream and --attribute")
    if args.out and args.out.exists() and args.out.samefile(args.batch):
        raise OptionError(f"--out {args.out} is the file of --batch; give the answers a file of their own")
    skips = args.on_bad == "skip"
    bad: list[str] = []
    rows = list(_rows(args.batch, bad, skips))
    done = _answered(args.out) if args.out else Answered({})
    for row in rows:
        _check_same(row, done.asked, args.out)
    left = [row for row in rows if row.id not in done.asked]
    started, count = time.perf_counter(), 0
    if left:
        with _opened(args.out) as sink:
            for line in _answers(args, left, bad, skips):
                with disk_errors(args.out) if args.out else nullcontext():
                    if not count:  # what was there is not touched before there is something to add
                        done.mend(sink)
                    print(as_json(line), file=sink, flush=True)
                count += 1
    seconds = time.perf_counter() - started
    before = f", {len(rows) - len(left)} were there" if len(left) < len(rows) else ""
    print(f"camml: {count} answered{before}, {len(bad)} skipped, {seconds:.1f} s", file=sys.stderr)
    return 0


def _rows(path: Path, bad: list[str], skips: bool) -> Iterator[Row]:
    """Yield the questions of a file of JSON lines.

    Raises:
      SampleError: a line is no question, unless such are skipped.
    """
    try:
        lines = path.read_text("utf-8-sig").split("\n")  # JSON may hold what else ends a line
    except UnicodeDecodeError as error:
        raise SampleError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _row(line, str(number), f"{path}, line {number}")
            if row.id in seen:
                raise SampleError(f"{row.place}: the id {row.id!r} is there already")
        except SampleError as error:
            _skip(error, bad, skips)
            continue
        seen.add(row.id)
        yield row


def _row(line: str, number: str, place: str) -> Row:
    """Return the question in a line.

    Raises:
      SampleError: there is none.
    """
    try:
        values = json.loads(line, parse_constant=lambda _: None)  # as pandas writes what is lacking
    except RecursionError:
        raise SampleError(f"{place}: is not JSON (nested too deeply)") from None
    except ValueError as error:
        raise SampleError(f"{place}: is not JSON ({error})") from None
    question = values.get("question") if isinstance(values, dict) else None
    if not isinstance(question, str) or not question.strip():
        raise SampleError(f'{place}: has no question; write {{"id": ..., "question": "...", "image": "..."}}')
    try:
        question.encode()
    except UnicodeEncodeError:
        raise SampleError(
            f"{place}: the question contains an unpaired surrogate, which is not valid Unicode; retype the text"
        ) from None
    image, name = values.get("image"), values.get("id")
    if isinstance(name, float) and name.is_integer():  # as pandas writes integers in a column with gaps
        name = int(name)
    name = number if name is None else name
    if not isinstance(image, str | None) or not isinstance(name, str | int) or isinstance(name, bool):
        raise SampleError(f"{place}: id and image should be texts")
    if image and image.lower().startswith("data:"):
        raise SampleError(f"{place}: the image is in the line itself; write it to a file and give that file's name")
    return Row(str(name), place, question, image or None)


def _skip(error: InputError, bad: list[str], skips: bool) -> None:
    if not skips:
        raise error
    bad.append(str(error))
    print(f"camml: skipped: {error}", file=sys.stderr)


def _check_same(row: Row, done: Mapping[str, tuple[str, str | None]], out: Path | None) -> None:
    """Raise if what was answered under the id of a row is something else.

    Raises:
      SampleError: it is; nothing is answered then, since ids that are the numbers of lines may all have moved.
    """
    if done.get(row.id, (row.question, row.image)) != (row.question, row.image):
        raise SampleError(
            f"{row.place}: {out} holds the answer to another question or picture under the id {row.id!r}; give another "
            "--out, or each question an id of its own"
        )


def _answered(out: Path) -> Answered:
    """Return what was answered already; nothing is read from a pipe or a device, to which answers are only written.

    Raises:
      SampleError: the file holds something else.
    """
    if not out.is_file():
        return Answered({})
    data = out.read_bytes()
    end = data.rfind(b"\n") + 1
    whole, last = data[:end], data[end:]
    is_cut = bool(last) and not _is_json(last)
    try:
        if is_cut and not _begins_as_answer(last):
            raise ValueError
        lines = [json.loads(line) for line in (whole if is_cut else data).splitlines() if line.strip()]
        asked = {str(line["id"]): (line["question"], line["image"]) for line in lines}
        if not all("answer" in line for line in lines):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SampleError(
            f"{out} holds something else than answers of `camml ask --batch`; give another --out"
        ) from None
    return Answered(asked, end if is_cut else None, bool(last) and not is_cut)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _begins_as_answer(text: bytes) -> bool:
    """Return whether a text can be the beginning of an answer that was cut off while it was written."""
    if not (text.startswith(START) or START.startswith(text)):
        return False
    id = re.compile(rb'(?:[^"\\]|\\.)*').match(text, len(START))
    rest = text[id.end() :] if id else b""
    return rest == b"\\" or rest.startswith(NEXT) or NEXT.startswith(rest)


def _opened(out: Path | None) -> TextIO:
    """Open the file of answers; unpaired surrogates, which file names may have, become escapes."""
    if out is None:  # closing standard output at the end would lose what others write to it
        return open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    with disk_errors(out):
        return out.open("a", encoding="utf-8", errors="backslashreplace")


def _answers(args: argparse.Namespace, rows: list[Row], bad: list[str], skips: bool) -> Iterator[dict[str, Any]]:
    """Yield the answers to rows, a few of which are answered together."""
    assistant, decoding = assistant_of(args), decoding_of(args)
    collection = collection_of(args, assistant) if args.store else None
    where = where_of(args)
    if collection is not None and where is not None:
        _check_where(collection, where)
    _ = assistant.answerer  # what is wrong with the model, or with its options, is no question's fault
    checked = False

    def ready(queries: "list[Query]") -> "list[Ready]":
        if collection is None:
            return assistant.ready(queries, [()] * len(queries), passages=args.passages)
        contexts = collection.find(queries, min(args.shots or assistant.shots, len(collection)), where)
        return collection.ready(queries, contexts, args.passages)

    def answered(some: "list[tuple[Row, Query]]") -> "list[tuple[Row, Answer]]":
        answers = assistant.answer(ready([query for _, query in some]), decoding)
        return [(row, answer) for (row, _), answer in zip(some, answers, strict=True)]

    for start in range(0, len(rows), AT_ONCE):
        some = [(row, query) for row in rows[start : start + AT_ONCE] if (query := _query(args, row, bad, skips))]
        try:
            pairs = answered(some) if some else []
        except InputError:
            pairs = []
            for pair in some:  # one of them is at fault; the others are answered
                try:
                    pairs += answered([pair])
                except InputError as error:
                    if not checked:
                        _check_decoding(assistant, decoding)
                        checked = True
                    _skip(SampleError(f"{pair[0].place}: {error}"), bad, skips)
        for row, answer in pairs:
            yield {"id": row.id} | document(row.question, row.image, answer, {})


def _check_where(collection: "Collection", where: "Where") -> None:
    """Raise an OptionError if no sample has what `--where` names, as any search does: before a question is asked."""
    import numpy as np

    encoder, datastore = collection.encoder, collection.datastore
    for modality, dim in (("text", encoder.text_dim), ("image", encoder.image_dim)):
        if datastore.count(modality):
            datastore.search(np.zeros((1, dim), np.float32), modality, 1, where=where)
            return


def _check_decoding(assistant: "Assistant", decoding: "Decoding") -> None:
    """Raise an InputError if not even the shortest question can be answered, so that no question is at fault."""
    from camml.types import Query

    [ready] = assistant.ready([Query("?")], [()])
    next(assistant.stream(ready, decoding), None)


def _query(args: argparse.Namespace, row: Row, bad: list[str], skips: bool) -> "Query | None":
    """Return a row's question with its picture; None where that cannot be used and is skipped."""
    from camml.images import open_image
    from camml.types import Query

    if row.image is None:
        return Query(row.question)
    name = local_path(row.image)
    spelled = (*spellings(name), *spellings(name.replace("\\", "/")))
    own = [os.path.join(Path(args.batch).parent, spelling) for spelling in spelled]
    try:
        return Query(row.question, open_image(next(filter(os.path.exists, own), name)))
    except ImageError as error:
        _skip(ImageError(f"{row.place}: {error}"), bad, skips)
        return None
