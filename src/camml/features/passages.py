"""The passages of long samples that a question asks for, within what a model has room for."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from camml import passages
from camml.datastore.passages import PassageVectors, as_compared
from camml.encoders import Encoder, Vectors
from camml.formats import folder as folders
from camml.passages import Span
from camml.types import Context, Neighbor, Query

PER_WORD = 0.3
"""What a passage gains that holds all words of the question; names and codes mean little to encoders."""

OPENING = 0.3
"""Added to the score of a text's first passage, if that takes no more than a third of the room: it names what the text
is about, in words that questions about "this one" do not have. With it, a budget of 72 tokens contains the answer to 47
of 47 validation questions of OwnPix about long texts; without it, to 44.
"""

SHEET = 0.6
"""Share of the way that the score of a line of a list, sheet or table is moved towards the best of its lines: all are
about one thing, and a question may ask for one of them in other words. With it, a budget of 72 tokens contains the
answer to 90.1 % of 2,084 questions about long texts of the reading data; without it, to 88.0 %.
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """The room that a model has for samples.

    Attributes:
      tokens: of the texts of all samples of a question together.
      length: how many tokens a text has.
      chosen: what is read is chosen by the question; otherwise it is what comes first.
      whole: tokens of the longest text that is read whole where it is the nearest one, though it may have more than
        `tokens`.
    """

    tokens: int
    length: Callable[[str], int]
    chosen: bool = True
    whole: int = 0

    def exceeded(self, context: Context) -> bool:
        """Return whether the texts of a context have more tokens."""
        return sum(self.length(neighbor.sample.text) for neighbor in context) > self.tokens


class PassageChooser:
    """Marks in each sample of a context the passages that are to be read.

    Where the texts of a context fit, all of them are read. Where they do not, they are read nearest first, as far as
    there is room: a text that would fit by itself from its beginning, so that short texts lose nothing, and a longer
    one by the passages that are nearest to the question, in reading order.

    Args:
      encoder: what compares questions and passages; its text vectors.
      folder: of the datastore beside which vectors of passages are kept; None keeps them in memory.
    """

    def __init__(self, encoder: Encoder, folder: Path | None = None) -> None:
        self.encoder = encoder
        self._vectors = PassageVectors(encoder, folder)

    @classmethod
    def beside(cls, store: str | None, encoder: Encoder) -> "PassageChooser":
        """Return one that keeps vectors beside the datastore in the folder `store`, where there is one."""
        folder = Path(store) if store else None
        return cls(encoder, folder if folder and folders.is_store(folder) else None)

    def choose(self, queries: Sequence[Query], contexts: Sequence[Context], budget: Budget) -> list[Context]:
        """Return the contexts with `spans` set in the neighbors whose texts are read in part.

        A sample of which nothing fits is left out.
        """
        if not budget.chosen:
            return [cut(context, budget) for context in contexts]
        chosen = list(contexts)
        long = [number for number, context in enumerate(contexts) if budget.exceeded(context)]
        if not long:
            return chosen
        asked = self.encoder.embed_texts([queries[number].text for number in long])
        for number, vector in zip(long, asked, strict=True):
            chosen[number] = self._shortened(queries[number].text, vector, contexts[number], budget)
        return chosen

    def _shortened(self, question: str, asked: Vectors, context: Context, budget: Budget) -> Context:
        """Return what is read of each sample of a context that is too long, nearest first."""
        chosen: list[Neighbor] = []
        left = budget.tokens
        for neighbor in context:
            text = neighbor.sample.text
            if left <= 0 or not text.strip():
                continue
            if not chosen and budget.length(text) <= budget.whole:
                spans = [(0, len(text))]
            elif budget.length(text) <= budget.tokens:
                spans = _beginning(text, left, budget)
            else:
                spans = self._nearest(question, asked, text, left, budget)
                if not spans and neighbor is context[0]:  # not even one fits: its beginning is read
                    spans = _beginning(text, left, budget)
            if spans:
                left -= budget.length(passages.join(text, spans))
                chosen.append(_marked(neighbor, spans))
        return tuple(chosen)

    def _nearest(self, question: str, asked: Vectors, text: str, limit: int, budget: Budget) -> list[Span]:
        """Return the passages of a text that are nearest to the question, as many as there is room for."""
        parts = passages.split(text)
        words = _words(question)
        scores: list[float] = []
        best = dict[int, float]()
        for part, vector in zip(parts, *self._vectors.of([text]), strict=True):
            shared = len(words & _words(as_compared(text, part))) / max(1, len(words))
            scores.append(float(vector @ asked) + PER_WORD * shared)
            best[part.block] = max(scores[-1], best.get(part.block, scores[-1]))
        scores = [(1 - SHEET) * score + SHEET * best[part.block] for score, part in zip(scores, parts, strict=True)]
        if parts and 3 * budget.length(as_compared(text, parts[0])) <= budget.tokens:
            scores[0] += OPENING
        taken: list[Span] = []
        for place in sorted(range(len(parts)), key=lambda place: -scores[place]):
            part = parts[place]
            more = sorted({*taken, part.span, *([part.heading] if part.heading else [])})
            if budget.length(passages.join(text, more)) <= limit:
                taken = more
        return taken


def cut(context: Context, budget: Budget) -> Context:
    """Return a context of which the first words are read, nearest first, as far as there is room.

    This is what a reader gets that does not choose by the question.

    Example:
        >>> from camml.types import Neighbor, Sample
        >>> near = [Neighbor(Sample(id=name, text=text), 1.0) for name, text in (("a", "red and big"), ("b", "blue"))]
        >>> [neighbor.text for neighbor in cut(near, Budget(2, lambda text: len(text.split())))]
        ['red and']
    """
    chosen: list[Neighbor] = []
    left = budget.tokens
    for neighbor in context:
        if left > 0 and (spans := _beginning(neighbor.sample.text, left, budget)):
            left -= budget.length(passages.join(neighbor.sample.text, spans))
            chosen.append(_marked(neighbor, spans))
    return tuple(chosen)


def _beginning(text: str, limit: int, budget: Budget) -> list[Span]:
    """Return the span of as much of the beginning of a text as there is room for, in whole words if one fits."""
    if budget.length(text) <= limit:
        return [(0, len(text))]
    for ends in ([match.end() for match in re.finditer(r"\S+", text)], range(1, len(text))):
        if fitting := bisect_right(ends, limit, key=lambda end: budget.length(text[:end])):
            return [(0, ends[fitting - 1])]
    return []


def _marked(neighbor: Neighbor, spans: list[Span]) -> Neighbor:
    whole = passages.join(neighbor.sample.text, spans).strip() == neighbor.sample.text.strip()
    return replace(neighbor, spans=() if whole else tuple(spans))


def _words(text: str) -> frozenset[str]:
    """Return the words of a text that say something, in lower case."""
    return frozenset(word for word in re.findall(r"\w+", text.lower()) if word not in STOP and len(word) > 1)


STOP = frozenset(
    """the is are was were of in on at to for and or an what which who how where when why does do did has have had it
    its this that these those be by with from as there you me please tell give name many much can could""".split()  # noqa: SIM905
)
"""Words of questions that every text has. `camml.words.STOP_WORDS` is another list, of words that tell nothing in any
text; with it other passages would be read than those that the settings above were measured with."""
