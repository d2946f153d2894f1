"""GQA: exact answers, with the official breakdowns."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from camml.evaluation.task import Item, Measured, Settings, mean

_LAST_STEPS = ("exist", "query: name", "choose name")


def gqa_answer(text: str) -> str:
    """Return an answer as LLaVA hands it to the official evaluation: lower case, without trailing periods.

    Source: LLaVA's convert_gqa_for_eval.py.
    """
    return text.rstrip(".").lower()


def reasoning_steps(question: Mapping[str, Any]) -> int:
    """Return the operations of a question's program, without those that only read off the answer.

    Source: getStepsNum of GQA's eval.py.
    """
    steps = [f"{step['operation']}: {step['argument']}" for step in question["semantic"]]
    return sum(not any(last in step for last in _LAST_STEPS) for step in steps)


def measure(items: Sequence[Item], answers: Mapping[str, str], settings: Settings) -> Measured:
    """Return accuracy in percent: all, binary and open questions, and by type, number of steps and of words.

    Items' truth is the entry of GQA's question file; breakdowns appear as far as it has their fields.

    Source: https://cs.stanford.edu/people/dorarad/gqa/evaluate.html
    """
    per_item = {item.id: float(gqa_answer(answers[item.id]) == item.truth["answer"]) for item in items}
    groups: dict[str, list[float]] = defaultdict(list)
    for item in items:
        for name in _groups(item.truth):
            groups[name].append(per_item[item.id])
    values = {"accuracy": 100 * mean(list(per_item.values()))}
    values |= {name: 100 * mean(hits) for name, hits in sorted(groups.items(), key=_by_name_then_number)}
    return Measured(values, per_item, clusters=[item.cluster for item in items])


def _groups(question: Mapping[str, Any]) -> list[str]:
    types = question.get("types") or {}
    names = []
    if "structural" in types:
        names += ["open" if types["structural"] == "query" else "binary", f"structural/{types['structural']}"]
    if "semantic" in types:
        names.append(f"semantic/{types['semantic']}")
    if isinstance(question.get("semantic"), list):
        names.append(f"steps/{reasoning_steps(question)}")
    if isinstance(question.get("question"), str):
        names.append(f"words/{len(question['question'].split())}")
    return names


def _by_name_then_number(entry: tuple[str, list[float]]) -> tuple[str, int, str]:
    kind, _, name = entry[0].partition("/")
    return kind, int(name) if name.isdigit() else 0, name
