"""A task, its data and an answer file -> a score with its interval; and two scores compared."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from camml.chat_api.reply import TOO_LONG
from camml.errors import OptionError, SampleError
from camml.evaluation import task as tasks
from camml.evaluation.answers import match, match_answers, read_answers
from camml.evaluation.files import listed, read_json
from camml.evaluation.statistics import Comparison, Interval, bootstrap_interval, cluster_means, compare_paired
from camml.evaluation.task import Item, Measured, Settings, Task
from camml.json_values import digest


@dataclass(frozen=True, slots=True)
class Score:
    """The results of one run on a task.

    Attributes:
      task: the task's name.
      headline: the name in `values` that papers quote.
      values: all numbers, in the units of the official evaluator; `a/b` is b within the breakdown a.
      interval: 95 % interval of the headline number, by bootstrap over images (or items); None without a number.
      per_item: each item's own score.
      clusters: what each entry of `per_item` depends on, by its id; empty where they are independent.
      answered, questions: how many items were scored, of how many.
      unanswered: how many of those scored have no answer, by reason; these are wrong.
      scale: the headline is `scale` times the mean of `per_item`, for most tasks.
      of_clusters: the headline is `scale` times the mean over clusters of their means.
      notes: what a reader of the numbers must know.
      truth: a hash of the true answers to the questions that were scored.
    """

    task: str
    headline: str
    values: Mapping[str, float]
    interval: Interval | None
    per_item: Mapping[str, float]
    clusters: Mapping[str, str] = field(default_factory=dict)
    answered: int = 0
    questions: int = 0
    scale: float = 100.0
    of_clusters: bool = False
    notes: Sequence[str] = ()
    unanswered: Mapping[str, int] = field(default_factory=dict)
    truth: str = ""

    def document(self, *, items: bool = True) -> dict[str, Any]:
        """Return what is written as JSON; breakdowns are nested."""
        document = asdict(self) | {"values": nested(self.values)}
        return document if items else {key: document[key] for key in document if key not in ("per_item", "clusters")}


def score(
    name: str,
    data: Path,
    answers: Path,
    *,
    missing: str = "error",
    settings: Settings | None = None,
    resamples: int = 1000,
) -> Score:
    """Score an answer file.

    Args:
      name: of the task.
      data: the folder of all tasks' data, or the task's own.
      answers: JSON lines or JSON, see `answers.read_answers`.
      missing: what a question without an answer is: "error", "wrong" or "skip".
      resamples: of the bootstrap; 0 for no interval.
    Raises:
      UnknownNameError: no such task.
      SampleError: data or answers that are missing or broken.
      OptionError: a setting that the task does not have.
    """
    task = tasks.find(name)
    settings = settings or Settings()
    _refuse_unused(name, task, settings)
    tasks.check_data([task], data, "score")
    items = task.read(task.place(data))
    matched = match(items, read_answers(answers), answers, missing)
    scored = [item for item in items if item.id in matched.texts]
    if not scored:
        raise SampleError(f"{answers} answers none of the {len(items)} questions of {name}")
    settings = replace(settings, unanswered=matched.unanswered)
    return measured_score(name, task, scored, matched.texts, settings, len(items), resamples)


def write_submission(name: str, data: Path, answers: Path, path: Path, *, missing: str = "error") -> int:
    """Write the official submission of an answer file to `path`; return the number of its answers.

    Args:
      name, data, answers, missing: as for `score`.
    Raises:
      OptionError: the task has no submission format.
      SampleError: data or answers that are missing or broken.
    """
    task = tasks.find(name)
    if task.submit is None:
        raise OptionError(f"{task.title} has no submission format; its answer file is what others score")
    lines = task.missing(data, "score")
    if lines:
        raise SampleError("; ".join(lines))
    folder = task.place(data)
    items = task.read(folder)
    texts = match_answers(items, read_answers(answers), answers, missing)
    task.submit([item for item in items if item.id in texts], texts, path, folder)
    return len(texts)


def measured_score(
    name: str,
    task: Task,
    items: list[Item],
    texts: Mapping[str, str],
    settings: Settings,
    questions: int,
    resamples: int,
) -> Score:
    """Score answers that are matched to their items.

    Raises:
      SampleError: the answers of the benchmark are not public.
    """
    hidden = [item for item in items if item.truth is None]
    if hidden:
        where = f"write the submission instead ({task.submission})" if task.submit else "they are not public"
        raise SampleError(f"{task.title} has no true answers for {len(hidden)} of {len(items)} questions here; {where}")
    measured = task.metric(items, texts, settings)
    keys = list(measured.per_item)
    clusters = dict(zip(keys, measured.clusters, strict=True)) if measured.clusters else {}
    known = resamples > 0 and task.headline in measured.values
    interval = _interval(measured, resamples) if known else None
    lacking = {item.id: settings.unanswered[item.id] for item in items if item.id in settings.unanswered}
    notes = (*measured.notes, *([unanswered_note(lacking, len(items))] if lacking else []))
    reasons = Counter(lacking.values())
    return Score(name, task.headline, measured.values, interval, measured.per_item, clusters,
                 len(items), questions, measured.scale, measured.of_clusters, notes,
                 dict(sorted(reasons.items())), digest({item.id: item.truth for item in items}))  # fmt: skip


def unanswered_note(lacking: Mapping[str, str], questions: int) -> str:
    """Return a line that says how many questions have no answer, which, why, and what that means.

    Args:
      lacking: the reason by the id of a question.
    """
    reasons = Counter(lacking.values())
    counted = "; ".join(f"{reason}: {number}" for reason, number in sorted(reasons.items()))
    cut = any("length" in reason and TOO_LONG not in reason for reason in reasons)
    advice = "; `--max-new-tokens` of `camml eval run` gives more room" if cut else ""
    names = listed(lacking)
    return f"no answer to {len(lacking)} of {questions} questions ({names}), which count as wrong ({counted}){advice}"


def _interval(measured: Measured, resamples: int) -> Interval | None:
    """Return the interval of the headline; None where no resample has that number."""
    values, clusters = list(measured.per_item.values()), measured.clusters
    if measured.of_clusters:
        values, clusters = cluster_means(values, clusters), ()
    interval = bootstrap_interval(values, clusters=clusters, statistic=measured.headline_of, resamples=resamples)
    scale = 1.0 if measured.headline_of else measured.scale
    return None if math.isnan(interval.low) else Interval(scale * interval.low, scale * interval.high)


def _refuse_unused(name: str, task: Task, settings: Settings) -> None:
    """Raise where a setting differs from its default but the task does not read it."""
    default, given = asdict(Settings()), asdict(settings)
    unused = [key for key in given if given[key] != default[key] and key not in (*task.uses, "unanswered")]
    if unused:
        uses = f"it uses {', '.join(task.uses)}" if task.uses else "it has none"
        raise OptionError(f"{name} has no setting {listed(unused)}; {uses}")


def nested(values: Mapping[str, float]) -> dict[str, Any]:
    """Turn `{"a/b": 1}` into `{"a": {"b": 1}}`."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        kind, _, member = name.partition("/")
        if member:
            result.setdefault(kind, {})[member] = value
        else:
            result[name] = value
    return result


def compare(first: Path, second: Path) -> tuple[dict[str, Any], dict[str, Any], Comparison]:
    """Compare two runs of one task: their two documents, and the paired difference of their items' scores.

    Where the headline is a mean over clusters (FactPix), what is compared are the scores of whole clusters.

    Args:
      first, second: a file that `camml eval score --out` wrote, or a folder with such a `score.json`.
    Raises:
      SampleError: not such files, or runs of different tasks or items.
    """
    left, right = _read_score(first), _read_score(second)
    if left["task"] != right["task"]:
        raise SampleError(
            f"{first} is a run of {left['task']}, {second} of {right['task']}; only runs of one task compare"
        )
    lacking = left["per_item"].keys() ^ right["per_item"].keys()
    if lacking:
        raise SampleError(f"{len(lacking)} items are in only one of {first} and {second}: {listed(sorted(lacking))}")
    keys = list(left["per_item"])
    clusters = [left["clusters"].get(key, key) for key in keys]
    values = [[float(run["per_item"][key]) for key in keys] for run in (left, right)]
    if left.get("of_clusters"):
        values, clusters = [cluster_means(its, clusters) for its in values], []
    return left, right, compare_paired(values[0], values[1], clusters=clusters)


def _read_score(path: Path) -> dict[str, Any]:
    file = path / "score.json" if path.is_dir() else path
    document = read_json(file)
    kinds = {"task": str, "headline": str, "values": dict, "per_item": dict, "clusters": dict}
    if (
        not isinstance(document, dict)
        or not all(isinstance(document.get(key), kind) for key, kind in kinds.items())
        or not all(isinstance(value, int | float) for value in document["per_item"].values())
        or not all(isinstance(value, str) for value in document["clusters"].values())
    ):
        raise SampleError(f"{file} is not a score; write one with `camml eval score ... --out FILE`")
    if not document["per_item"]:
        raise SampleError(f"{file} has no scores of single items")
    return document
