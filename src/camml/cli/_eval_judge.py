"""`camml eval judge`: a language model behind an OpenAI-compatible endpoint grades the answers to MM-Vet."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from camml.cli._output import print_json

Grades = Mapping[str, Mapping[str, Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("answers", type=Path, metavar="ANSWERS", help="an answer file of MM-Vet, or a run's folder")
    parser.add_argument("--judge", required=True, metavar="MODEL", help="the judge's name at the endpoint")
    parser.add_argument(
        "--base-url", metavar="URL", help="of the endpoint, with /v1; default: $OPENAI_BASE_URL, or OpenAI's"
    )
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="grade each answer so often (%(default)s)")
    parser.add_argument(
        "--max-tokens", type=int, default=3, metavar="N", help="the longest reply; a judge that thinks needs more (3)"
    )
    parser.add_argument("--missing", choices=("error", "wrong", "skip"), default="error", help="as of `score`")
    parser.add_argument(
        "--data", type=Path, default=Path("data/eval"), metavar="DIR", help="benchmark data (%(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the grades go (default: grades.json beside the answers)"
    )
    parser.epilog = "The key is read from OPENAI_API_KEY. Grades are remembered: a run that was interrupted goes on."


def run(args: argparse.Namespace) -> int:
    """Grade, write the grades, and say how they are used."""
    from camml.chat_api import ChatApi
    from camml.evaluation.cache import Cache
    from camml.evaluation.judge import grade
    from camml.packages import cache_dir

    answers = args.answers / "answers.jsonl" if args.answers.is_dir() else args.answers
    out = args.out or answers.with_name("grades.json")
    api = ChatApi.of_environment(args.judge, args.base_url)
    cache = Cache(cache_dir() / "grades")
    grades = grade(args.data, answers, out, api, cache, runs=args.runs, missing=args.missing,
                   max_tokens=args.max_tokens, progress=_show)  # fmt: skip
    _say(grades, api.left_out)
    if args.json:
        print_json({"grades": str(out), "answers": len(grades), "runs": args.runs, "judge": args.judge})
    else:
        print(f"{len(grades)} answers graded in {out}")
        places = [quote(str(place)) for place in (answers, out, args.data)]
        print("score them with: camml eval score mmvet --answers {} --grades {} --data {}".format(*places))
    return 0


def _say(grades: "Grades", left_out: Sequence[str]) -> None:
    """Say on standard error what a reader of the grades must know."""
    from camml.evaluation.judge import TRIES
    from camml.evaluation.metrics.mmvet import read_grade

    worded = sum(any(read_grade(str(text)) is None for text in its["content"]) for its in grades.values())
    if worded:
        why = f"the judge gave no grade in {TRIES} tries"
        print(f"camml: {worded} answers count 0, as in the official grader: {why}", file=sys.stderr)
    if left_out:
        print(f"camml: the judge rejected {', '.join(left_out)}; its own defaults apply", file=sys.stderr)


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rgraded {done} of {total}", end="\n" * (done == total), file=sys.stderr, flush=True)
