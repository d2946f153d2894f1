"""The passage of the samples that an answer comes from, as far as its words show."""

from dataclasses import replace

from camml.passages import Span, split
from camml.refusals import begins_refusal, refuses, stands_in
from camml.types import Context
from camml.words import telling_words


def with_support(answer: str, context: Context, question: str = "") -> Context:
    """Return the samples with the passage marked that the answer was taken from.

    It is the passage with most of the answer's words, of equals the nearer and earlier one, or the one that shares more
    words with the question. Words of everyday use do not count, nor those that the question has already unless the
    answer has no other. Where no passage has any of them nothing is marked. This compares words: it shows where an
    answer can be looked up, not what went on in the model.

    Example:
      >>> from camml.types import Neighbor, Sample
      >>> [marked] = with_support("4711", (Neighbor(Sample("a", "It is red. The part is 4711."), 1.0),))
      >>> marked.sample.text[slice(*marked.supporting)]
      'The part is 4711.'
    """
    asked, denies = _words(question), _denies(answer)
    wanted = (_words(answer) - asked) or _words(answer)
    best: tuple[bool, int, int, int, int] | None = None
    chosen: tuple[int, Span] | None = None
    for place, neighbor in enumerate(context):
        for number, (start, end) in enumerate(_read(neighbor.sample.text, neighbor.spans)):
            passage = neighbor.sample.text[start:end]
            words = _words(passage)
            says = denies and stands_in(answer, passage)  # "not included", where "included" alone says the opposite
            rank = says, len(words & wanted), len(words & asked), -place, -number
            if (says or rank[1]) and (best is None or rank > best):
                best, chosen = rank, (place, (start, end))
    if chosen is None:
        return context
    at, span = chosen
    return (*context[:at], replace(context[at], supporting=span), *context[at + 1 :])


def judged(answer: str, context: Context, question: str = "") -> tuple[bool, Context]:
    """Return whether an answer says that the samples do not tell, and the samples, marked where it does not.

    What a passage says itself ("Allergies: none") is an answer. The beginning of a refusal, cut off, is a refusal.

    Example:
      >>> from camml.types import Neighbor, Sample
      >>> judged("not in the samples", (Neighbor(Sample("a", "It is red."), 1.0),))[0]
      True
    """
    refused = bool(context) and _denies(answer)
    refused = refused and not any(
        stands_in(answer, neighbor.sample.text[start:end])
        for neighbor in context
        for start, end in _read(neighbor.sample.text, neighbor.spans)
    )
    return refused, context if refused else with_support(answer, context, question)


def _denies(answer: str) -> bool:
    """Return whether an answer says that the samples do not tell, or begins to."""
    return refuses(answer) or begins_refusal(answer)


def _read(text: str, spans: tuple[Span, ...]) -> list[Span]:
    """Return the passages of a text that were read."""
    if spans:
        return list(spans)
    return [passage.span for passage in split(text)]


def _words(text: str) -> frozenset[str]:
    return frozenset(telling_words(text))
