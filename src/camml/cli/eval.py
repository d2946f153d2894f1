"""`camml eval`: the benchmarks, models run on them, their scores, and runs compared."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli import _eval_judge, _eval_report, _eval_run
from camml.cli._output import sentence
from camml.errors import InputError, OptionError

if TYPE_CHECKING:
    from camml.evaluation.score import Score
    from camml.evaluation.task import Settings

SUMMARY = "Run a model on benchmarks, score answers, write submissions and compare runs."
DATA = Path("data/eval")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)

    listing = _action(actions, "list", _list, "list the tasks, and what of their data is there")
    _add_data(listing)

    running = _action(
        actions, "run", _eval_run.run, "answer the questions of tasks with a model, and score the answers"
    )
    _eval_run.add_arguments(running)
    _add_data(running)

    _add_scoring(_action(actions, "score", _score, "score an answer file, whichever code wrote it"))
    _eval_judge.add_arguments(_action(actions, "judge", _eval_judge.run, "grade MM-Vet answers with a language model"))

    comparing = _action(actions, "compare", _compare, "the paired difference of two runs of one task")
    for place in ("first", "second"):
        comparing.add_argument(
            place, type=Path, metavar="RUN", help="what `score --out` wrote, or a folder with score.json"
        )

    reporting = _action(actions, "report", _eval_report.run, "pages of runs: a leaderboard, and every answer to browse")
    _eval_report.add_arguments(reporting)
    _add_data(reporting)


def _add_scoring(scoring: argparse.ArgumentParser) -> None:
    scoring.add_argument("task", metavar="TASK", help="see `camml eval list`")
    scoring.add_argument(
        "--answers", type=Path, required=True, metavar="FILE", help="answers as JSON lines or JSON, or a run's folder"
    )
    _add_data(scoring)
    scoring.add_argument(
        "--missing",
        choices=("error", "wrong", "skip"),
        default="error",
        help="what a question without an answer is (default: %(default)s)",
    )
    scoring.add_argument("--grades", type=Path, metavar="FILE", help="the judge's grades (mmvet)")
    scoring.add_argument(
        "--random-guess",
        type=int,
        metavar="SEED",
        help="guess where no letter can be read, as the official script does (scienceqa, scienceqa_ft)",
    )
    for side, default in (("answer", "same"), ("truth", "normalised")):
        scoring.add_argument(
            f"--{side}-boxes",
            default=default,
            metavar="FRAME",
            help=f"frame of the {side}'s boxes: same, normalised, padded or pixels (refcoco*; default: {default})",
        )
    scoring.add_argument(
        "--resamples", type=int, default=1000, metavar="N", help="for the interval; 0: no interval (%(default)s)"
    )
    scoring.add_argument("--submission", type=Path, metavar="PATH", help="write the official submission here instead")
    scoring.add_argument("--out", type=Path, metavar="FILE", help="write the score, with that of each item, as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the action of the command line."""
    code: int = args.act(args)
    return code


def _action(actions: Any, name: str, act: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=sentence(summary))
    parser.set_defaults(act=act)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="benchmark data (default: %(default)s)")


def _list(args: argparse.Namespace) -> int:
    from camml.evaluation import task as tasks

    rows = []
    for name, task in tasks.usable().items():
        rows.append(
            {
                "task": name,
                "title": task.title,
                "headline": task.headline,
                "folder": str(args.data / task.folder),
                "published": dict(task.published),
                "submission": task.submission or None,
                "missing_to_run": task.missing(args.data, "run"),
                "missing_to_score": task.missing(args.data, "score"),
            }
        )
    if args.json:
        _print_json(rows)
        return 0
    print(f"{'task':18} {'title':22} {'headline':16} data in {args.data}")
    for row in rows:
        lacking = [kind for kind in ("run", "score") if row[f"missing_to_{kind}"]]
        state = f"not enough to {' or '.join(lacking)}" if lacking else "there"
        print(f"{row['task']:18} {row['title']:22} {row['headline']:16} {state}")
    return 0


def _score(args: argparse.Namespace) -> int:
    from camml.evaluation.score import score, write_submission

    if args.submission:
        if args.out:
            raise OptionError("--submission writes answers and --out a score; ask for them one at a time")
        written = write_submission(args.task, args.data, args.answers, args.submission, missing=args.missing)
        _print_json({"submission": str(args.submission), "answers": written}) if args.json else print(
            f"{written} answers in {args.submission}"
        )
        return 0
    result = score(
        args.task,
        args.data,
        args.answers,
        missing=args.missing,
        settings=_settings(args),
        resamples=args.resamples,
    )
    if args.out:
        from camml.evaluation.files import write_json

        write_json(args.out, result.document())
    if args.json:
        _print_json(result.document(items=False))
    else:
        _print_score(result)
    return 0


def _settings(args: argparse.Namespace) -> "Settings":
    from camml.evaluation.task import Settings

    if args.resamples < 0:
        raise OptionError(f"--resamples {args.resamples} should be 0 or more")
    return Settings(args.random_guess, args.grades, args.answer_boxes, args.truth_boxes)


def _print_score(result: "Score") -> None:
    of = "" if result.answered == result.questions else f" of {result.questions}"
    print(f"{result.task}: {result.answered}{of} questions")
    width = max(len(name) for name in result.values)
    for name, value in result.values.items():
        interval = ""
        if name == result.headline and result.interval:
            interval = f"   95 % interval {result.interval.low:.4f} to {result.interval.high:.4f}"
        print(f"  {name:{width}}  {value:10.4f}{interval}")
    for note in result.notes:
        print(f"  {note}")


def _compare(args: argparse.Namespace) -> int:
    from camml.evaluation.score import compare

    first, second, comparison = compare(args.first, args.second)
    if first.get("truth") and second.get("truth") and first["truth"] != second["truth"]:
        print("camml: the two were scored by different true answers; score them again by the same", file=sys.stderr)
    if args.json:
        _print_json({"task": first["task"], "first": str(args.first), "second": str(args.second), **asdict(comparison)})
        return 0
    print(f"{first['task']}: {comparison.items} items")
    for path, run_ in ((args.first, first), (args.second, second)):
        print(f"  {run_['headline']} {_headline(run_):.4f}   {path}")
    low, high = comparison.interval.low, comparison.interval.high
    print(
        f"  mean item score, first minus second: {comparison.difference:+.4f}   95 % interval {low:+.4f} to {high:+.4f}"
    )
    print(
        f"  {comparison.test}: p = {comparison.p_value:.4g}; "
        f"first better on {comparison.better}, second on {comparison.worse}"
    )
    return 0


def _headline(document: Mapping[str, Any]) -> float:
    """Return the headline number of a score document, whose breakdowns are nested."""
    value: Any = document["values"]
    for part in document["headline"].split("/"):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, int | float):
        raise InputError(f"a score of {document['task']} has no number called {document['headline']}")
    return float(value)


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=1)
    print()
