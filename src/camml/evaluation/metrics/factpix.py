"""FactPix: is the fact right? Open answers, lettered options and yes or no, counted by what is asked about."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from camml.evaluation.metrics.choices import aokvqa_choice, percent
from camml.evaluation.statistics import cluster_means
from camml.evaluation.task import Item, Measured, Settings

_ARTICLES = frozenset({"a", "an", "the"})
_VERBS = frozenset({"is", "are", "was", "were", "called", "named", "answer"})
_DOUBTS = frozenset({"not", "no", "or"})
_SAYS = re.compile(r"\b(yes|no)\b")
LETTERS = "ABCDEFGH"


def plain(text: str) -> str:
    """Normalise `text` to compare answers: lower case, no accents, articles or punctuation, single spaces."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    words = re.sub(r"[^\w]+", " ", bare.lower().replace("&", " and ").replace("'", "")).split()
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def open_match(answer: str, accepted: Sequence[str]) -> float:
    """Return 1 if the answer's first line is an accepted spelling or a sentence that ends with one, else 0.

    Both are made plain first. So "Lima", "Líma." and "The capital of Peru is Lima." count; "Lima and Quito", "Lima is
    the capital" and "It is not Lima" do not. What has no verb is no sentence and must be the answer as a whole.
    """
    lines = answer.strip().splitlines()
    line = plain(lines[0]) if lines else ""
    return float(any(_claims(line, plain(spelling)) for spelling in accepted))


def _claims(line: str, spelling: str) -> bool:
    if line == spelling:
        return True
    words = line.removesuffix(f" {spelling}").split() if line.endswith(f" {spelling}") else []
    return not _VERBS.isdisjoint(words) and _DOUBTS.isdisjoint(words)


def word_f1(answer: str, accepted: Sequence[str]) -> float:
    """Return the best F1 of the answer's plain words with those of an accepted spelling, in [0, 1].

    Source: the F1 of SQuAD (Rajpurkar et al. 2016), section 6.1; how words are made plain is ours.
    """
    return max((_f1(plain(answer).split(), plain(spelling).split()) for spelling in accepted), default=0.0)


def _f1(said: Sequence[str], true: Sequence[str]) -> float:
    common = (Counter(said) & Counter(true)).total()
    return 2 * common / (len(said) + len(true)) if common else 0.0


def holds(answer: str, accepted: Sequence[str]) -> float:
    """Return 1 if the answer contains an accepted spelling as whole words, else 0."""
    text = f" {plain(answer)} "
    return float(any(f" {plain(spelling)} " in text for spelling in accepted))


def said(answer: str) -> str | None:
    """Return the first "yes" or "no" in an answer; None where it has neither."""
    match = _SAYS.search(answer.lower())
    return match[1] if match else None


def right(answer: str, truth: Mapping[str, object]) -> float:
    """Return 1 for a right answer, else 0, by the kind of question; for the truth see `measure`."""
    if truth["kind"] == "yesno":
        return float(said(answer) == truth["answer"])
    if truth["kind"] == "choice":
        chosen = aokvqa_choice(answer, _texts(truth["choices"]))
        return float(chosen is not None and LETTERS[chosen] == truth["answer"])
    return open_match(answer, accepted(truth))


Rule = Callable[[str, Mapping[str, object]], float]


def accepted(truth: Mapping[str, object]) -> list[str]:
    """Return the spellings that count as the true answer."""
    return [str(truth["answer"]), *_texts(truth.get("accept") or [])]


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list | tuple) else []


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings, *, rule: Rule = right) -> Measured:
    """Return percentages, each the mean over classes (countries, regions, emoji, stamps) of the means within them.

    By kind of question, topic, field and wording; for open questions also `open/exact` (the answer as it stands),
    `open/f1` (words in common) and `open/holds` (the true answer is somewhere in it).

    Items' truth is `{"kind": "open" | "choice" | "yesno", "answer", "accept"?, "choices"?, "topic", "field",
    "wording"?}`; the answer to a choice is its letter. Their cluster is the class. `rule` says what is right, from an
    answer and the truth.
    """
    unanswered = settings.unanswered
    per_item = {item.id: 0.0 if item.id in unanswered else rule(answers[item.id], item.truth) for item in items}
    groups: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for item in items:
        truth, answer, hit = item.truth, answers[item.id], (per_item[item.id], item.cluster)
        groups["accuracy"].append(hit)
        for name in (f"kind/{truth['kind']}", f"topic/{truth['topic']}", f"field/{truth['topic']} {truth['field']}"):
            groups[name].append(hit)
        if truth.get("wording"):
            groups[f"wording/{truth['wording']}"].append(hit)
        if truth["kind"] == "open":
            spellings = accepted(truth)
            groups["open/exact"].append((float(answer.strip() == truth["answer"]), item.cluster))
            groups["open/f1"].append((word_f1(answer, spellings), item.cluster))
            groups["open/holds"].append((holds(answer, spellings), item.cluster))
    values = {name: percent(cluster_means(*zip(*groups[name], strict=True))) for name in sorted(groups)}
    return Measured(values, per_item, clusters=[item.cluster for item in items], of_clusters=True)
