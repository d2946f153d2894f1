"""Long texts in passages that can be read by themselves: sentences, items of lists, lines of sheets, rows of tables."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from camml.errors import OptionError

Span = tuple[int, int]
"""The characters of a text from the first number up to, and without, the second."""

LONGEST = 400
"""Characters: a longer passage is cut where it pauses, as a model that has room for few could take none of it."""

WRAPPED = 40
"""Characters of a line that may have been broken in the middle of a sentence; shorter ones are items of a list."""

SENTENCE_END = re.compile(r"""(?<=[.!?…])["'”’)\]]*\s+(?=["'“‘(\[]?[^\s\W_a-z]|["'“‘(\[]?\d)|(?<=[。！？])""")
ABBREVIATION = re.compile(r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|ca|approx|Fig|e\.g|i\.e|etc|Inc|Ltd|Co)\.\W*$")
LOOKED_BACK = 40
"""Characters before a full stop in which an abbreviation would stand, so that a row of them takes no longer each."""

ITEM_NUMBER = re.compile(r"\s*\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]+)[.)]")
LEADERS = ("....", " . . .")  # dots that lead to a value

FIRST = "first:"
"""Begins a setting of passages by which texts are read from their beginning, whatever is asked."""

PAUSE = re.compile(r"(?<=[;,:])\s+|(?<=[、，；：])|\s+(?=[–—])")
TABLE_ROW = re.compile(r"^\s*\|.*\|\s*$|^[^\t\n]*\t[^\n]*$")
TABLE_RULE = re.compile(r"^(?=.*--)[\s|:+=-]*$")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text.

    Attributes:
      span: where it is.
      heading: where that is without which it cannot be understood: the first row of its table.
      block: number of the list, sheet or table that it is a line of; prose has another number for each passage.
    """

    span: Span
    heading: Span | None = None
    block: int = 0


def split(text: str) -> list[Passage]:
    """Return the passages of a text in reading order; together they hold all of it but white space.

    Example:
      >>> text = "It weighs 12 kg. It was made in Bern."
      >>> [text[slice(*passage.span)] for passage in split(text)]
      ['It weighs 12 kg.', 'It was made in Bern.']
    """
    passages: list[Passage] = []
    heading: Span | None = None
    for start, end in _lines(text):
        line = text[start:end]
        if TABLE_ROW.match(line):
            if heading is None:
                heading = _trimmed(text, start, end)
            elif not TABLE_RULE.match(line):
                passages.append(Passage(_trimmed(text, start, end), heading))
            continue
        _close_table(passages, heading)
        heading = None
        passages += [Passage(span) for span in _sentences(text, start, end)]
    _close_table(passages, heading)
    return _numbered(text, [passage for passage in passages if passage.span[0] < passage.span[1]])


def _numbered(text: str, passages: Sequence[Passage]) -> list[Passage]:
    """Return passages with the numbers of their blocks: whole lines one below the other belong together."""
    edges = [0, *(edge for passage in passages for edge in passage.span), len(text)]
    # line breaks before each passage and behind the last; there is one at either end of a text
    breaks = [text.count("\n", *edges[place : place + 2]) for place in range(0, len(edges), 2)]
    breaks[0], breaks[-1] = breaks[0] or 1, breaks[-1] or 1
    numbered: list[Passage] = []
    for place, passage in enumerate(passages):
        before = numbered[-1] if numbered else Passage((0, 0), block=-1)
        of_a_table = passage.heading is not None and passage.heading == before.heading
        below = place > 0 and breaks[place] == 1 and breaks[place - 1] and breaks[place + 1]
        numbered.append(replace(passage, block=before.block + (not (of_a_table or below))))
    return numbered


def _close_table(passages: list[Passage], heading: Span | None) -> None:
    """Add the first row of a table that has no other one: it is a line like any."""
    if heading is not None and (not passages or passages[-1].heading != heading):
        passages.append(Passage(heading))


def join(text: str, spans: Sequence[Span]) -> str:
    """Return the passages of a text at `spans` as one text, in reading order, on lines of their own where they were."""
    parts: list[str] = []
    before: int | None = None
    for start, end in sorted(set(spans)):
        if before is not None:
            parts.append("\n" if "\n" in text[before:start] else " ")
        parts.append(text[start:end])
        before = end
    return "".join(parts)


def _lines(text: str) -> Iterator[Span]:
    """Yield the lines of a text that hold something; prose that was broken into lines comes as one."""
    pending: Span | None = None
    for match in re.finditer(r"^[^\S\n]*\S[^\n]*?(?=\r?$)", text, re.MULTILINE):
        start, end = match.span()
        below = pending and text[pending[1] : start] in ("\n", "\r\n")
        goes_on = pending and end - start and text[start : start + 1].islower() and below
        if pending and goes_on and pending[1] - pending[0] >= WRAPPED and text[pending[1] - 1].isalnum():
            pending = pending[0], end
            continue
        if pending:
            yield pending
        pending = start, end
    if pending:
        yield pending


def _sentences(text: str, start: int, end: int) -> list[Span]:
    """Return the sentences of a line, those that are too long cut where they pause."""
    spans: list[Span] = []
    begin = start
    for match in SENTENCE_END.finditer(text, start, end):
        if ITEM_NUMBER.fullmatch(text, begin, match.start()) or text.endswith(LEADERS, begin, match.start()):
            continue
        if (
            ABBREVIATION.search(text, max(begin, match.start() - LOOKED_BACK), match.start())
            and text[match.start() - 1] not in "!?。！？"
        ):
            continue
        spans += _short(text, begin, match.start() if not match[0].strip() else match.end())
        begin = match.end()
    return spans + _short(text, begin, end)


def _short(text: str, start: int, end: int) -> list[Span]:
    """Return a sentence as one span, or as several none of which is longer than LONGEST characters."""
    start, end = _trimmed(text, start, end)
    if end - start <= LONGEST:
        return [(start, end)]
    spans: list[Span] = []
    while end - start > LONGEST:
        pauses = [match.end() for match in PAUSE.finditer(text, start, start + LONGEST) if match.end() > start]
        spaces = [match.end() for match in re.finditer(r"\s+", text[start : start + LONGEST])]
        cut = pauses[-1] if pauses else start + spaces[-1] if spaces else start + LONGEST
        spans.append(_trimmed(text, start, cut))
        start = cut
    return [*spans, _trimmed(text, start, end)]


def _trimmed(text: str, start: int, end: int) -> Span:
    """Return a span without the white space at its ends."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())


def check_passages(passages: str) -> None:
    """Raise an OptionError unless `passages` is a valid setting; see `camml.answering.budget_of`."""
    if passages in ("auto", "off"):
        return
    numbers = [passages.removeprefix(FIRST)] if passages.startswith(FIRST) else passages.split("-")
    known = all(number.isdecimal() and int(number) for number in numbers) and len(numbers) <= 2
    if not known or int(numbers[0]) > int(numbers[-1]):
        raise OptionError(
            f"passages is {passages!r}; it can be: auto, off, a number of tokens, {FIRST}NUMBER, or two numbers as in "
            "72-98: so many tokens, or the whole nearest text if it has no more than the second"
        )
