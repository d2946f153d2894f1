"""FactPix, the whole protocol: what context is worth to a model, beside what a user would try instead of it.

    python benchmarks/factpix.py --model models/mini                 # a CaMML model and the baselines, all questions
    python benchmarks/factpix.py --model models/mini --limit 300     # 300 questions a split, from all classes alike
    python benchmarks/factpix.py --limit 100                         # the baselines alone

Baselines: the same language model with the texts in its prompt (`in_prompt`; of a vision-language model with the
pictures too, `interleaved`; wording and number of samples are chosen on the validation classes), once more after
fine-tuning (`--tuned DIR`; limited to words of the samples, as CaMML mini is), the nearest sample's fact (`copy`), the
fact that most of the nearest samples give (`majority`). A run that was stopped goes on where it was; finished runs are
read, not repeated. With `--only` several processes share the work; a last one without it puts the results together.
Writes `benchmarks/results/factpix_LABEL.json`; `python benchmarks/plots.py` draws it.
"""

import argparse
import hashlib
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from _factpix_results import MAIN, SHOTS, Done, System, comparisons, goals, row, table

from camml import encoders, formats, prompts
from camml.answering import fitting
from camml.datastore import Datastore, open_store
from camml.evaluation.contexts import Variant, variants
from camml.evaluation.files import read_json, write_json
from camml.evaluation.run import Options, run

TASKS = {"heldout": "factpix", "style": "factpix_style", "late": "factpix_late"}
FULL = [
    *variants(["retrieved"], [0, *SHOTS]),
    *variants(["random", "shuffled"], [MAIN]),
    *variants(["oracle"], [1, MAIN]),
]
PARTS = variants(["no_images", "no_texts"], [MAIN])
"""For models that get both; another one's prompt would be that of the nearest samples, or of none."""
BESIDE = [*variants(["retrieved"], [0, *SHOTS]), *variants(["random", "oracle"], [MAIN])]
"""For what a model is compared with."""


def main() -> None:
    """Run what is not yet there, compare, write, print."""
    args = _arguments()
    stores = {"heldout": args.store or args.data / "store"}
    build_store(args.data / "samples.json", stores["heldout"], args.encoder, args.encoder_options)
    stores["late"] = stores["heldout"].with_name(stores["heldout"].name + "_late")
    add_late(stores["heldout"], args.data / "late_samples.json", stores["late"])
    options = Options(
        data=args.data, out=args.runs, model="", store=str(stores["heldout"]), mode="image-image", retrieved=max(SHOTS),
        batch_size=args.batch_size, limit=args.limit, spread=args.limit is not None, device=args.device,
        dtype=args.dtype, cache=args.runs / "cache", encoder=args.encoder,
    )  # fmt: skip
    done, best = [], {}
    for system in systems(args):
        if args.only and system.name != args.only:
            continue
        shots = (MAIN,)
        if system.use in ("in_prompt", "interleaved"):
            system, chosen, tried = choose(system, options, args.choose)
            best[system.name] = {"prompt_style": system.prompt_style, "shots": chosen, "tried": tried}
            shots = tuple(sorted({MAIN, chosen}))
        done += protocol(system, options, stores, shots)
    if args.only:
        return
    document = {
        "label": args.label,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {args.device or 'best device'}",
        "date": date.today().isoformat(),
        "limit": args.limit,
        "data": _about(args.data / "manifest.json"),
        "chosen_on_validation": best,
        "runs": [row(run) for run in done],
        "comparisons": comparisons(done, best),
        "goals": goals(done, best),
    }
    path = args.out / f"factpix_{args.label}.json"
    write_json(path, document)
    print(table(document))
    print(path)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a CaMML model's folder; without it the baselines run alone")
    parser.add_argument(
        "--baseline",
        default="smollm2-135m-instruct",
        help="the same language model, or any vision-language model (%(default)s)",
    )
    parser.add_argument("--tuned", help="the folder of that language model after fine-tuning on the same data")
    parser.add_argument("--label", help="of the results (default: the name of the model)")
    parser.add_argument("--data", type=Path, default=Path("data/factpix"), help="(%(default)s)")
    parser.add_argument("--store", type=Path, help="a datastore of samples.json; made where it is missing")
    parser.add_argument("--encoder", default="mini", help="of the datastore that is made (%(default)s)")
    parser.add_argument("--heads", help="for the encoder `mini` of a datastore that is made: the file of `camml align`")
    parser.add_argument("--limit", type=int, help="questions of each split, from all classes alike (default: all)")
    parser.add_argument("--choose", type=int, default=100, help="questions for choosing a wording (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--only", help="run this system alone and write no results: for processes side by side")
    parser.add_argument("--device")
    parser.add_argument("--dtype")
    parser.add_argument("--runs", type=Path, default=Path("runs/factpix"), help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="(%(default)s)")
    args = parser.parse_args()
    args.encoder_options = {"heads": args.heads} if args.heads else {}
    args.label = args.label or (args.model.name if args.model else "baselines")
    return args


def build_store(samples: Path, store: Path, encoder: str, encoder_options: dict[str, Any]) -> None:
    """The datastore of all samples, where it is not there."""
    if not (store / "manifest.json").is_file():
        print(f"building {store} of {samples}", flush=True)
        Datastore.build(
            store,
            formats.read(samples, mend_ids=True),
            encoders.load(encoder, **encoder_options),
            encoder_options=encoder_options,
            progress=_progress,
        )
    held, wanted = len(Datastore.open(store)), len(read_json(samples))
    if held != wanted:
        raise SystemExit(
            f"{store} holds {held} samples, {samples} {wanted}; remove that folder, or give another --store"
        )


def _about(manifest: Path) -> dict[str, Any] | None:
    """What tells one build of FactPix from another: its manifest less the list of files, and the hash of it all."""
    if not manifest.is_file():
        return None
    short = {name: value for name, value in read_json(manifest).items() if name != "files"}
    return short | {"manifest_sha256": hashlib.sha256(manifest.read_bytes()).hexdigest()}


def _progress(done: int, total: int | None) -> None:
    print(f"\r{done} of {total} samples", end="", flush=True)


def add_late(store: Path, samples: Path, late: Path) -> None:
    """A copy of the datastore with the late samples added, as `camml store add` does it; no model learns anything."""
    added = list(formats.read(samples, mend_ids=True))
    if not late.is_dir():
        shutil.copytree(store, late.with_suffix(".unfinished"), dirs_exist_ok=True)
        late.with_suffix(".unfinished").rename(late)
    datastore, _ = open_store(str(late))
    if new := [sample for sample in added if sample.id not in datastore]:
        print(f"adding {len(new)} samples to {late}", flush=True)
        datastore.add(new)


def systems(args: argparse.Namespace) -> list[System]:
    """What is measured."""
    systems = [System("camml", str(args.model), "perceiver")] if args.model else []
    use = fitting(args.baseline)
    systems.append(System(use, args.baseline, use))
    if args.tuned:
        systems.append(System(f"{use}_tuned", args.tuned, use, grounded=True))
    return [*systems, System("no_model", "")]


def choose(system: System, options: Options, questions: int) -> tuple[System, int, list[dict[str, Any]]]:
    """The system with the wording, and the number of samples, that do best on the validation classes; all tried."""
    tried = []
    for style in prompts.PASTES:
        tried += _tried(replace(system, prompt_style=style), options, questions, [1])
    best = max(tried, key=lambda trial: trial["accuracy"])["prompt_style"]
    chosen = replace(system, prompt_style=best)
    more = _tried(chosen, options, questions, [shots for shots in SHOTS if shots > 1])
    numbers = [trial for trial in tried if trial["prompt_style"] == best] + more
    return chosen, max(numbers, key=lambda trial: trial["accuracy"])["shots"], tried + more


def _tried(system: System, options: Options, questions: int, shots: Sequence[int]) -> list[dict[str, Any]]:
    short = replace(options, limit=questions, spread=True)
    done = ask(system, "validation", "factpix_validation", variants(["retrieved"], shots), short)
    return [
        {"prompt_style": system.prompt_style, "shots": run.outcome.variant.shots,
         "accuracy": run.outcome.score.values["accuracy"]}
        for run in done if run.outcome.score
    ]  # fmt: skip


def protocol(system: System, options: Options, stores: dict[str, Path], shots: Sequence[int]) -> list[Done]:
    """All runs of one system; late knowledge is asked for before and after its samples are added."""
    late = replace(options, store=str(stores["late"]))
    if not system.model:
        kinds = [Variant("copy", 1), *variants(["majority"], SHOTS[1:])]
        return [run for split, task in TASKS.items()
                for run in ask(system, split, task, kinds, late if split == "late" else options)]  # fmt: skip
    few = [*variants(["retrieved"], [0, *shots]), Variant("oracle", 1)]
    return [
        *ask(system, "heldout", TASKS["heldout"], FULL + PARTS if system.use == "perceiver" else BESIDE, options),
        *ask(system, "style", TASKS["style"], few, options),
        *ask(system, "late", TASKS["late"], few, late),
        *ask(system, "late_before", TASKS["late"], variants(["retrieved"], shots), options),
    ]


def ask(system: System, split: str, task: str, kinds: Sequence[Variant], options: Options) -> list[Done]:
    """The runs of one system on one split, those that are finished as they are."""
    name = "-".join(filter(None, [system.name, Path(system.model).name, system.prompt_style]))
    folder = options.out / name / f"{split}-{options.limit or 'all'}"
    asked = replace(options, out=folder, grounded=system.grounded)
    if system.model:
        asked = replace(asked, model=system.model, use=system.use, prompt_style=system.prompt_style)
    print(f"{name}: {split}: {', '.join(kind.name for kind in kinds)}", flush=True)
    return [Done(system, split, outcome) for outcome in run([task], kinds, asked)]


if __name__ == "__main__":
    main()
