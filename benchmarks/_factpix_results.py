"""What the runs of `factpix.py` come to: rows, paired comparisons, goals, a table."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from camml.evaluation.run import Outcome
from camml.evaluation.score import compare

SHOTS = (1, 3, 5, 8)
MAIN = 3
"""The number of samples at which kinds of context are compared."""


@dataclass(frozen=True)
class System:
    """Something that answers: a model and the way it is used.

    `grounded` limits its answers to words of the samples; None leaves that to the model's settings.
    """

    name: str
    model: str
    use: str | None = None
    prompt_style: str | None = None
    grounded: bool | None = None


@dataclass(frozen=True)
class Done:
    """A finished run of a system on a split."""

    system: System
    split: str
    outcome: Outcome


def row(done: Done) -> dict[str, Any]:
    """A run as the results have it."""
    outcome, score = done.outcome, done.outcome.score
    assert score
    document = score.document(items=False)
    return {
        "system": done.system.name,
        "model": Path(done.system.model).name,
        "prompt_style": done.system.prompt_style,
        "split": done.split,
        "context": outcome.variant.context,
        "shots": outcome.variant.shots,
        "accuracy": score.values["accuracy"],
        "interval": document["interval"],
        "classes": len(set(score.clusters.values())),
        **{name: document["values"].get(name, {}) for name in ("kind", "topic", "field", "wording", "open")},
        **outcome.measures,
    }


def find(done: Sequence[Done], system: str, context: str, shots: int, split: str = "heldout") -> Done | None:
    """The run of that kind."""
    return next(
        (run for run in done if run.system.name == system and run.split == split
         and (run.outcome.variant.context, run.outcome.variant.shots) == (context, shots)),
        None,
    )  # fmt: skip


def comparisons(done: Sequence[Done], best: dict[str, Any]) -> list[dict[str, Any]]:
    """Paired differences of accuracy, class by class: with samples against without, and against what else there is."""
    pairs: list[tuple[Done | None, Done | None]] = []
    for system in dict.fromkeys(run.system.name for run in done):
        nearest = find(done, system, "retrieved", MAIN)
        kinds = [
            ("none", 0),
            ("random", MAIN),
            ("shuffled", MAIN),
            ("no_images", MAIN),
            ("no_texts", MAIN),
            ("oracle", MAIN),
        ]
        pairs += [(nearest, find(done, system, *kind)) for kind in kinds]
        pairs.append((find(done, system, "random", MAIN), find(done, system, "none", 0)))
        for split in ("style", "late"):
            pairs.append((find(done, system, "retrieved", MAIN, split), find(done, system, "none", 0, split)))
    nearest = find(done, "camml", "retrieved", MAIN)
    pairs += [(nearest, find(done, name, "retrieved", chosen["shots"])) for name, chosen in best.items()]
    pairs += [(nearest, find(done, "no_model", "copy", 1)), (nearest, find(done, "no_model", "majority", MAIN))]
    results = []
    for first, second in pairs:
        if first and second:
            result = compare(first.outcome.folder, second.outcome.folder)[2]
            names = {
                side: f"{run.system.name} {run.outcome.variant.name}"
                for side, run in (("first", first), ("second", second))
            }
            results.append({"split": first.split, **names, **asdict(result)})
    return results


def goals(done: Sequence[Done], best: dict[str, Any]) -> dict[str, Any]:
    """What the small model is meant to reach, and what it does; percent points of accuracy, ratios as they are."""

    def accuracy(run: Done | None, name: str = "accuracy") -> float | None:
        return run.outcome.score.values.get(name) if run and run.outcome.score else None

    def over(above: float | None, below: float | None) -> float | None:
        return None if above is None or not below else above / below

    nearest, none = find(done, "camml", "retrieved", MAIN), find(done, "camml", "none", 0)
    if nearest is None:
        return {}
    prompted = {name: find(done, name, "retrieved", chosen["shots"]) for name, chosen in best.items()}
    hit = nearest.outcome.measures["retrieval"].get(f"hit@{MAIN}")
    noise = [accuracy(find(done, "camml", "random", MAIN)), accuracy(none)]

    def beside(run: Done | None) -> tuple[float | None, float | None]:
        if run is None:
            return None, None
        tokens = [run.outcome.measures["tokens"]["prompt"] for run in (nearest, run)]
        return (accuracy(nearest) or 0.0) - (accuracy(run) or 0.0), over(*tokens)

    others = {
        text: value
        for name, run in prompted.items()
        for text, value in zip(
            (f"accuracy minus {name}, above 0", f"tokens / {name}, at most 0.5"), beside(run), strict=True
        )
    }
    return {
        "accuracy / hit@3, at least 0.9": over(accuracy(nearest), hit),
        "open accuracy / without context, at least 5": over(
            accuracy(nearest, "kind/open"), accuracy(none, "kind/open")
        ),
        **others,
        "random context minus none, at least -2": None if None in noise else noise[0] - noise[1],
        "late knowledge after adding": accuracy(find(done, "camml", "retrieved", MAIN, "late")),
        "late knowledge before adding": accuracy(find(done, "camml", "retrieved", MAIN, "late_before")),
    }


def table(document: dict[str, Any]) -> str:
    """The runs and goals as Markdown."""
    lines = ["| split | system | context | shots | accuracy | 95 % | open | choice | yes/no | hit | tokens | s |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for run in document["runs"]:
        reach = run["interval"]
        kinds = " | ".join(_number(run["kind"].get(kind)) for kind in ("open", "choice", "yesno"))
        hit, seconds = run["retrieval"].get(f"hit@{run['shots']}"), run["seconds"]["answer"]
        lines.append(
            f"| {run['split']} | {run['system']} | {run['context']} | {run['shots']} | {run['accuracy']:.1f} "
            f"| {reach['low']:.1f}–{reach['high']:.1f} | {kinds} | {_number(hit)} "
            f"| {_number(run['tokens']['prompt'] or None, 0)} | {_number(seconds, 2)} |"
        )
    goals = [f"- {name}: {_number(value, 2)}" for name, value in document["goals"].items()]
    return "\n".join([*lines, "", *goals])


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
