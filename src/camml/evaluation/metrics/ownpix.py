"""OwnPix: is the fact right, and does a model say so where the samples do not tell it?"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from camml.evaluation.metrics import factpix
from camml.evaluation.metrics.choices import percent
from camml.evaluation.statistics import cluster_means
from camml.evaluation.task import Item, Measured, Settings
from camml.factpix.questions import UNANSWERABLE
from camml.refusals import REFUSAL, first_line, refuses

_DOUBTS = frozenset({"not", "no", "or", "and"})
_BARE = re.compile(r"[\d.,\s]+")
_BREAK = re.compile(r"[;,|/]")
_OTHER_NUMBER = re.compile(r"\d")
_OTHER_VALUE = re.compile(r"\d|[A-Z]|:")
_MASK = "\0"
MOST_BESIDE = 12
"""Words of a sentence beside the answer in it."""


def right(answer: str, truth: Mapping[str, object]) -> float:
    """Return 1 for a right answer, else 0: FactPix's rule, or the answer in a sentence that says nothing else.

    So "12 kg", "It weighs 12 kg." and "Weight: 12 kg, without packing" are right where "12 kg" is, but "12 kg, locker
    K-42" and "12 kg or 14 kg" are not. A number without its unit must be all of the answer, or its end.
    """
    if factpix.right(answer, truth):
        return 1.0
    line = first_line(answer)
    spellings = [text for text in factpix.accepted(truth) if not _BARE.fullmatch(text)]
    return float(any(_told_alone(line, spelling) for spelling in spellings))


def _told_alone(line: str, spelling: str) -> bool:
    """Return whether a line begins with a clause that holds a spelling among few words, and says nothing else."""
    masked = re.sub(rf"(?<!\w){re.escape(spelling)}(?!\w)", _MASK, line, count=1, flags=re.IGNORECASE)
    first, *others = _BREAK.split(masked)
    beside = factpix.plain(first.replace(_MASK, " ")).split()
    return (
        _MASK in first
        and len(beside) <= MOST_BESIDE
        and _DOUBTS.isdisjoint(beside)
        and not _OTHER_NUMBER.search(first)
        and masked.count(":") <= 1
        and not any(_OTHER_VALUE.search(clause) for clause in others)
    )


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return the percentages of FactPix, where every way of saying that the samples do not tell is the same answer.

    `refused/rightly` is the share of questions without an answer that are refused, `refused/wrongly` that of the
    others. Beside FactPix's breakdowns there are those by how the picture was changed and by the length of texts.
    """
    told = {item.id: REFUSAL if refuses(answers[item.id]) else answers[item.id] for item in items}
    measured = factpix.measure(items, told, settings, rule=right)
    groups: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for item in items:
        refused = float(told[item.id] == REFUSAL)
        right_to = item.truth["kind"] == UNANSWERABLE
        groups["refused/rightly" if right_to else "refused/wrongly"].append((refused, item.cluster))
        for name, key in (("change", "style"), ("length", "length")):
            if item.truth.get(key):
                groups[f"{name}/{item.truth[key]}"].append((measured.per_item[item.id], item.cluster))
    more = {name: percent(cluster_means(*zip(*groups[name], strict=True))) for name in sorted(groups)}
    return replace(measured, values={**measured.values, **more})
