"""Where the seconds of one `camml ask` about a picture go, and what another version of the code took.

    camml store build pictures.json --out STORE
    python benchmarks/ask_parts.py --store STORE --image PICTURE --against ../before/src

First each part by itself, in processes of their own: imports, encoders, finding, the model, the answer. Then the whole
command, by turns with that of the other source tree (`git worktree add ../before COMMIT`): seconds by the clock and of
the processor, and the ratio of neighbouring turns. Prints tables and writes JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from _measure import Spread, circumstances, ratios
from start import spent

from camml.evaluation.files import write_json

QUESTION = "What is this?"
PARTS = """
import sys, time, json
question, image, store = sys.argv[1:]
marks = [("", time.perf_counter(), time.process_time())]
def mark(name):
    marks.append((name, time.perf_counter(), time.process_time()))
import torch
mark("importing torch")
import transformers.processing_utils, transformers.modeling_utils, transformers.models.llama.modeling_llama
mark("importing transformers")
import camml.answering.perceiver, camml.assistant, camml.datastore
from camml.answering import Decoding
from camml.images import open_image
mark("importing CaMML")
model = camml.assistant.load()
model.encoder
mark("encoders")
collection = model.open(store)
mark("opening the datastore")
query = camml.assistant.query_of(question, open_image(image))
context = collection.find([query], model.shots)
mark("finding")
model.answerer
mark("the model")
model.answer(collection.ready([query], context), Decoding(8))
mark("the answer")
pairs = zip(marks, marks[1:])
print(json.dumps({b[0]: [b[1] - a[1], b[2] - a[2]] for a, b in pairs}))
"""


def main() -> None:
    """Measure the parts and the whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a datastore that fits CaMML mini")
    parser.add_argument("--image", required=True, help="the picture that is asked about")
    parser.add_argument("--question", default=QUESTION, help="(%(default)s)")
    parser.add_argument("--against", type=Path, metavar="SRC", help="the `src` folder of another version")
    parser.add_argument("--runs", type=int, default=5, help="turns (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ask_parts.json"))
    args = parser.parse_args()
    asked = [args.question, args.image, args.store]
    trees = {"now": Path(__file__).parents[1] / "src"} | ({"before": args.against} if args.against else {})
    parts = [part_seconds(asked, trees["now"]) for _ in range(args.runs)]
    whole = by_turns(asked, trees, args.runs)
    document = circumstances(torch.device("cpu")) | {"parts": parts, "whole": whole}
    write_json(args.out, document)
    print(table(document))


def part_seconds(asked: list[str], tree: Path) -> dict[str, list[float]]:
    """Seconds of each part in one process, by the clock and of the processor."""
    done = subprocess.run([sys.executable, "-c", PARTS, *asked], check=True, capture_output=True, env=using(tree))
    seconds: dict[str, list[float]] = json.loads(done.stdout)
    return seconds


def using(tree: Path) -> dict[str, str]:
    """The environment in which Python imports CaMML from a source tree."""
    return os.environ | {"PYTHONPATH": str(tree.resolve())}


def by_turns(asked: list[str], trees: dict[str, Path], runs: int) -> dict[str, list[list[float]]]:
    """Seconds of the whole command with each source tree, by the clock and of the processor, after one round more."""
    question, image, store = asked
    command = [sys.executable, "-m", "camml", "ask", question, "--image", image, "--store", store, "--no-server"]
    seconds: dict[str, list[list[float]]] = {name: [] for name in trees}
    for turn in range(runs + 1):
        for name, tree in trees.items():
            before, started = spent(), time.perf_counter()
            subprocess.run([*command, "--max-new-tokens", "8"], check=True, capture_output=True, env=using(tree))
            if turn:
                seconds[name].append([time.perf_counter() - started, spent() - before])
    return seconds


def table(document: dict[str, Any]) -> str:
    """A result as Markdown."""
    rows = ["| part | seconds | of the processor |", "|---|---|---|"]
    for part in document["parts"][0]:
        clock, own = ([run[part][kind] for run in document["parts"]] for kind in (0, 1))
        rows.append(f"| {part} | {Spread.of(clock):.2f} | {Spread.of(own):.2f} |")
    rows += ["", "| `camml ask` | seconds | of the processor |", "|---|---|---|"]
    columns = {name: list(zip(*runs, strict=True)) for name, runs in document["whole"].items()}
    for name, (clock, own) in columns.items():
        rows.append(f"| {name} | {Spread.of(clock):.2f} | {Spread.of(own):.2f} |")
    if len(columns) == 2:
        (clock, own), (clock_before, own_before) = columns["now"], columns["before"]
        rows.append(f"| now / before | {ratios(clock, clock_before):.3f} | {ratios(own, own_before):.3f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
