"""`camml eval run`: a model answers the questions of benchmarks."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camml.cli._answering import add_grounded, add_margin, margin_of
from camml.cli._datastore import add_encoder_option, add_store_images, encoder_options
from camml.cli._output import PASSAGES_HELP, print_json, quiet_unless_watched
from camml.errors import OptionError

if TYPE_CHECKING:
    from camml.evaluation.run import Options, Outcome, Progress

OUT = Path("runs/eval")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("tasks", nargs="+", metavar="TASK", help="see `camml eval list`; `all` for all of them")
    parser.add_argument("--model", required=True, metavar="DIR", help="a model's folder or name")
    parser.add_argument(
        "--use",
        help="perceiver (CaMML models), interleaved (vision-language models), in_prompt (language models), api "
        "(behind an endpoint); default: what fits",
    )
    parser.add_argument("--base-url", metavar="URL", help="of the endpoint, with /v1; default: $OPENAI_BASE_URL")
    parser.add_argument(
        "--prompt-style",
        metavar="NAME",
        help="a wording: official, chat, ... for perceiver; plain, brief, ranked, ... for the others",
    )
    _add_samples(parser)
    _add_answering(parser)
    parser.add_argument("--grades", type=Path, metavar="FILE", help="the judge's grades (mmvet)")
    parser.add_argument(
        "--resamples", type=int, default=1000, metavar="N", help="for the interval; 0: no interval (%(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"where the runs go (default: {OUT}/<model>)")
    parser.add_argument("--predict-only", action="store_true", help="answer now; run again without this to score")
    parser.add_argument("--no-cache", action="store_true", help="neither use nor keep answers of other runs")
    parser.add_argument("--progress", action="store_true", help="show a progress bar even if stderr is not a terminal")


def _add_samples(parser: argparse.ArgumentParser) -> None:
    """Declare what comes with a question, and from where."""
    parser.add_argument("--store", metavar="DIR", help="a datastore, or INDEX_FILE:DATA_JSON as published")
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="encoder that built the vectors; needed only if the datastore does not record it",
    )
    add_encoder_option(parser)
    add_store_images(parser)
    parser.add_argument(
        "--context",
        default=None,
        metavar="KIND[,KIND...]",
        help="none, retrieved (default with --store), random, shuffled, no_images, no_texts, oracle, copy, majority",
    )
    parser.add_argument(
        "--shots", default="3", metavar="N[,N...]", help="samples given, at most; several for a sweep (%(default)s)"
    )
    parser.add_argument(
        "--mode",
        help="auto, text-image, image-image, text-text, fused; default: auto; over a published index text-image",
    )
    parser.add_argument(
        "--retrieve", type=int, default=4, metavar="N", help="samples retrieved, the first used (%(default)s)"
    )
    parser.add_argument("--passages", metavar="auto|off|N|N-M|first:N", help=PASSAGES_HELP)
    add_margin(parser)
    add_grounded(parser)
    parser.add_argument(
        "--keep-duplicates",
        action="store_true",
        help="retrieve the question's own sample and its near-duplicates too, as the published evaluation did",
    )


def _add_answering(parser: argparse.ArgumentParser) -> None:
    """Declare which questions are answered, and how."""
    parser.add_argument(
        "--batch-size", type=int, default=8, metavar="N", help="questions answered together (%(default)s)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only N questions of each task, the first ones")
    parser.add_argument(
        "--spread", action="store_true", help="draw the N questions of --limit evenly from all images or classes"
    )
    parser.add_argument("--max-new-tokens", type=int, metavar="N", help="the longest answer (default: the task's own)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default)")
    parser.add_argument("--top-p", type=float, default=1.0, help="sample from this much probability (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of sampling, random and shuffled samples (%(default)s)")
    parser.add_argument("--device", help="cpu, cuda, mps; default: the best there is")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16; default: what suits the device")


def run(args: argparse.Namespace) -> int:
    """Answer, score, and print a row for each run."""
    from camml.evaluation import task
    from camml.evaluation.contexts import variants
    from camml.evaluation.run import run as run_tasks
    from camml.evaluation.shares import Share

    quiet_unless_watched()
    names = list(task.usable()) if args.tasks == ["all"] else list(dict.fromkeys(args.tasks))
    contexts = (args.context or ("retrieved" if args.store else "none")).split(",")
    chosen = variants(contexts, _numbers(args.shots))
    outcomes = run_tasks(names, chosen, _options(args), _progress(args))
    if not Share.of_environment().leads:
        return 0
    written = _write_sweeps(outcomes, _out(args)) if len(chosen) > 1 else []
    if args.json:
        print_json([_as_json(outcome) for outcome in outcomes])
        return 0
    _print(outcomes, written)
    return 0


def _numbers(text: str) -> list[int]:
    """Return the numbers in `1,2,4`."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"--shots {text!r} should be a number, or several like 0,1,2,4") from None


def _out(args: argparse.Namespace) -> Path:
    from camml.evaluation.models import model_name

    return Path(args.out or OUT / model_name(args.model))


def _options(args: argparse.Namespace) -> "Options":
    from camml.evaluation.run import Options
    from camml.evaluation.task import Settings
    from camml.packages import cache_dir

    if args.resamples < 0:
        raise OptionError(f"--resamples {args.resamples} should be 0 or more")
    if args.spread and args.limit is None:
        raise OptionError("--spread draws the questions of --limit; give --limit N, or leave --spread out")
    same = ("data", "model", "use", "base_url", "prompt_style", "device", "dtype", "store", "store_images", "encoder",
            "mode", "keep_duplicates", "passages", "batch_size", "limit", "spread", "max_new_tokens", "temperature",
            "top_p", "seed", "grounded", "predict_only", "resamples")  # fmt: skip
    return Options(
        **{name: getattr(args, name) for name in same},
        out=_out(args),
        margin=margin_of(args),
        encoder_options=encoder_options(args) or None,
        retrieved=args.retrieve,
        settings=Settings(grades=args.grades),
        cache=None if args.no_cache else cache_dir() / "answers",
    )


def _progress(args: argparse.Namespace) -> "Progress":
    """Return a bar for each run on a terminal, or where it is asked for."""
    if not (args.progress or sys.stderr.isatty()):
        return lambda *_: None
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def show(name: str, done: int, total: int) -> None:
        bar = bars.get(name) or bars.setdefault(name, tqdm(total=total, desc=name, unit="question", file=sys.stderr))
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show


def _write_sweeps(outcomes: Sequence["Outcome"], out: Path) -> list[Path]:
    """Write a table for each task, and a plot where there are several numbers of samples."""
    from camml.evaluation.files import write_bytes
    from camml.evaluation.sweep import lines, markdown, plot

    written = []
    for name in dict.fromkeys(outcome.task for outcome in outcomes):
        its = [outcome for outcome in outcomes if outcome.task == name]
        table = out / name / "variants.md"
        write_bytes(table, markdown(its).encode())
        written.append(table)
        if lines(its) and len({outcome.variant.shots for outcome in its}) > 1:
            plot(its, out / name / "shots.png")
            written.append(out / name / "shots.png")
    return written


def _as_json(outcome: "Outcome") -> dict[str, Any]:
    score = outcome.score
    return {
        "task": outcome.task,
        "context": outcome.variant.context,
        "shots": outcome.variant.shots,
        "folder": str(outcome.folder),
        "answers": outcome.answers,
        "score": score.document(items=False) if score else None,
        "note": outcome.note or None,
        "submission": str(outcome.submission) if outcome.submission else None,
        "measures": dict(outcome.measures),
        "notes": list(outcome.notes),
    }


def _print(outcomes: Sequence["Outcome"], written: Sequence[Path]) -> None:
    from camml.evaluation.sweep import text

    print(text(outcomes))
    for outcome in outcomes:
        print(f"{outcome.folder}" + (f"   submission: {outcome.submission.name}" if outcome.submission else ""))
        if risk := outcome.measures.get("risk"):
            shares = ", ".join(
                f"{100 * value:.1f} % at {name.partition('@')[2]} %" for name, value in risk.items() if "@" in name
            )
            print(f"  error rate when only the questions with the nearest samples are answered: {shares} of them")
        for note in outcome.notes:
            print(f"  {note}")
    for path in written:
        print(path)
