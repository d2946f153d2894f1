"""What so many tokens of context are worth: CaMML, and the same tokens of the samples' texts in a prompt.

    python benchmarks/budgets.py --model models/camml-mini --tuned models/in_prompt --limit 300 \
        --data ownpix_short=data/ownpix --data ownpix_long=data/ownpix --data factpix=data/factpix \
        --store ownpix=stores/ownpix --store factpix=stores/factpix

The samples that were found are the same for all, and so are those that are left out as too far behind the nearest
(`--margin`, by default CaMML's). Of their texts a reader gets 24, 48, 72 or 144 tokens, `cut` (the
first ones, nearest sample first) or `chosen` by the question, or `full` texts of one or three samples. Readers: CaMML,
its language model with the texts in its prompt as it is, and once more after fine-tuning on the same rows (`--tuned`,
see `in_prompt_baseline.py`). All may be held to words of the samples (`--grounded`). What is done is kept and not
done again; `--only` lets processes share the work.
"""

import argparse
import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from camml.cli._answering import add_margin, margin_of
from camml.evaluation.contexts import Variant
from camml.evaluation.files import write_json
from camml.evaluation.run import Options, Outcome, run
from camml.model.retrieval_settings import settings_of

BUDGETS = (24, 48, 72, 144)
SHOTS = 3
RESULTS = Path("benchmarks/results/budgets.json")
MOST_OF_CAMML = 144
"""Context tokens of CaMML mini, at most."""


@dataclass(frozen=True)
class Reader:
    """A model that reads, and how.

    Attributes:
      budgets: tokens of context it is given.
    """

    name: str
    model: str
    use: str
    style: str | None = None
    budgets: Sequence[int] = BUDGETS


def settings(reader: Reader) -> list[tuple[str, int | None, int]]:
    """Return what a reader is given: how, how many tokens, of how many samples."""
    given: list[tuple[str, int | None, int]] = []
    for tokens in reader.budgets:
        given += [("cut", tokens, SHOTS), ("chosen", tokens, SHOTS)]
    return given if reader.use == "perceiver" else [*given, ("full", None, 1), ("full", None, SHOTS)]


def measured(reader: Reader, task: str, how: str, tokens: int | None, shots: int, options: Options) -> dict[str, Any]:
    """Return one row of the result: a reader, given so much, asked the questions of a task."""
    passages = {"cut": f"first:{tokens}", "chosen": str(tokens), "full": "off"}[how]
    label = "-".join(filter(None, [reader.name, reader.style, how, str(tokens or ""), f"{options.grounded}"]))
    asked = replace(
        options, model=reader.model, use=reader.use, prompt_style=reader.style, passages=passages,
        out=options.out / label,
    )  # fmt: skip
    print(f"{task}: {label}, {shots} samples", flush=True)
    [outcome] = run([task], [Variant("retrieved", shots)], asked)
    return {"reader": reader.name, "task": task, "texts": how, "tokens": tokens, "shots": shots, **figures(outcome)}


def figures(outcome: Outcome) -> dict[str, Any]:
    """Return the score of a run, its interval and the tokens of its prompts.

    `right_of_found` is the share of right answers where one of the first three samples was a right one, in percent.
    """
    score = outcome.score
    assert score is not None
    with (outcome.folder / "log.jsonl").open(encoding="utf-8") as file:
        log = [json.loads(line) for line in file]
    met = [score.per_item[line["id"]] for line in log if any(near["right"] for near in line["retrieved"][:SHOTS])]
    refused = {name.partition("/")[2]: value for name, value in score.values.items() if name.startswith("refused/")}
    return {
        "right": round(float(score.values["accuracy"]), 2),
        "interval": [round(score.interval.low, 2), round(score.interval.high, 2)] if score.interval else None,
        "refused": {name: round(float(value), 2) for name, value in refused.items()},
        "prompt_tokens": round(float(outcome.measures["tokens"]["prompt"]), 1),
        "answers": outcome.answers,
        "right_of_found": round(100 * sum(met) / max(1, len(met)), 1),
    }


def main() -> None:
    """Run what is not yet there, put it together, print it."""
    args = arguments()
    fitting = [tokens for tokens in args.budgets if tokens <= MOST_OF_CAMML]
    wanted = margin_of(args)
    margin = settings_of(args.model).margin if wanted is None else wanted
    margin = math.inf if margin is None else margin
    readers = [Reader("CaMML", str(args.model), "perceiver", budgets=fitting)]
    readers += [Reader("as it is", args.baseline, "in_prompt", args.style, args.budgets)]
    readers += [Reader("fine-tuned", args.tuned, "in_prompt", args.tuned_style, args.budgets)] if args.tuned else []
    rows = []
    for task, data in args.data:
        store = next(path for name, path in args.store if task.startswith(name))
        options = Options(
            data=Path(data), out=args.runs / task, model="", store=store, mode="image-image", retrieved=5,
            batch_size=args.batch_size, limit=args.limit, spread=True, dtype=args.dtype, grounded=args.grounded,
            cache=args.runs / "cache", encoder=args.encoder, margin=margin,
        )  # fmt: skip
        [copied] = run([task], [Variant("copy", 1)], replace(options, out=options.out / "copy", grounded=None))
        rows.append({"reader": "no model", "task": task, "texts": "nearest fact", "shots": 1} | figures(copied))
        for reader in readers:
            if not args.only or reader.name in args.only:
                rows += [measured(reader, task, *given, options) for given in settings(reader)]
    out = args.out or (None if args.only else RESULTS)
    if out:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, {args.dtype or 'float32'}"
        document = {"date": date.today().isoformat(), "machine": machine, "grounded": args.grounded, "rows": rows}
        document["margin"] = None if margin == math.inf else margin
        document |= {"only": args.only} if args.only else {}
        write_json(out, document)
        print(out)
    for row in rows:
        print("  ".join(str(row.get(name, "")) for name in ("task", "reader", "texts", "tokens", "shots", "right",
                                                            "interval", "refused", "prompt_tokens")))  # fmt: skip


def arguments() -> argparse.Namespace:
    """Return what stands on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def pair(text: str) -> tuple[str, str]:
        name, sign, value = text.partition("=")
        if not sign:
            raise argparse.ArgumentTypeError(f"{text!r} should be NAME=FOLDER")
        return name, value

    parser.add_argument("--model", type=Path, required=True, help="a CaMML model's folder")
    parser.add_argument("--baseline", default="smollm2-135m-instruct", help="its language model (%(default)s)")
    parser.add_argument("--tuned", help="the folder of that language model after fine-tuning on the same rows")
    parser.add_argument("--style", default="document", help="wording of the baseline as it is (%(default)s)")
    parser.add_argument("--tuned-style", default="brief", help="wording it was fine-tuned with (%(default)s)")
    parser.add_argument("--data", type=pair, action="append", required=True, help="a task, and the folder of its data")
    parser.add_argument("--store", type=pair, action="append", required=True, help="how tasks begin, and a datastore")
    parser.add_argument("--encoder", help="what made its vectors, to search it whatever the model wants")
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="tokens of context (%(default)s)")
    parser.add_argument("--limit", type=int, default=300, help="questions of each task (%(default)s)")
    parser.add_argument("--grounded", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--batch-size", type=int, default=16)
    add_margin(parser)
    parser.add_argument("--dtype")
    parser.add_argument("--only", action="append", help="these readers alone; results are written where --out is given")
    parser.add_argument("--runs", type=Path, default=Path("runs/budgets"), help="(%(default)s)")
    parser.add_argument("--out", type=Path, help=f"({RESULTS}; none with --only)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
