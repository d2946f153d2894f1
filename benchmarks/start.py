"""How long a command takes to start, with its files in memory and without, beside what nobody can be faster than.

    python benchmarks/start.py
    python benchmarks/start.py --runs 20 --only help

`cold` runs begin after the files of the environment and of the model were dropped from memory, as far as no other
process uses them; nothing but Linux can do that. Seconds of the processor hardly depend on what else the machine does.
Prints a table and writes JSON.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from camml import weights

QUESTION = "What is the capital of France?"
MODEL = "smollm2-135m-instruct"
BARE = f"""
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained({{0!r}}), AutoTokenizer.from_pretrained({{0!r}})
messages = [{{{{"role": "user", "content": {QUESTION!r}}}}}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=8, do_sample=False)[0]))
"""


@dataclass(frozen=True)
class Line:
    """One line of the table: seconds of all runs by the clock, and the middle of those of the processor."""

    what: str
    cold: bool
    seconds: list[float]
    processor: float


def main() -> None:
    """Measure the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", type=int, default=10, help="of every short command; a quarter of the long (%(default)s)"
    )
    parser.add_argument("--only", choices=("help", "ask"), help="default: both")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/start.json"))
    args = parser.parse_args()
    camml = [sys.executable, "-m", "camml"]
    lines = []
    if args.only != "ask":
        lines += [
            measure("python -c pass (the floor)", [sys.executable, "-c", "pass"], args.runs),
            measure("camml --help", [*camml, "--help"], args.runs),
        ]
    if args.only != "help":
        folder, few = weights.folder(MODEL), max(1, args.runs // 4)
        ask = [*camml, "ask", QUESTION, "--max-new-tokens", "8"]
        bare = [sys.executable, "-c", BARE.format(str(folder))]
        imports = [sys.executable, "-c", "import torch; from transformers import PreTrainedModel"]
        lines += [measure("importing torch and transformers (the floor)", imports, few)]
        for cold in (False, True):
            lines += [
                measure("the same answer by transformers alone", bare, few, [folder] if cold else None),
                measure("camml ask", ask, few, [folder] if cold else None),
            ]
    print(table(lines))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    document = {"python": sys.version, "processors": os.cpu_count(), "lines": [asdict(line) for line in lines]}
    args.out.write_text(json.dumps(document, indent=1))


def measure(what: str, command: list[str], runs: int, evicted: list[Path] | None = None) -> Line:
    """The times of a command; cold where there are `evicted` folders, which go together with the environment's."""
    seconds, processor = [], []
    for number in range(runs + (evicted is None)):
        for folder in [] if evicted is None else [Path(sysconfig.get_path("purelib")), *evicted]:
            evict(folder)
        before, started = spent(), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        if evicted is not None or number:  # the first warm one warms up
            seconds.append(time.perf_counter() - started)
            processor.append(spent() - before)
    return Line(what, evicted is not None, seconds, statistics.median(processor))


def spent() -> float:
    """Seconds of the processor that ended commands have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def evict(folder: Path) -> None:
    """Drop the files of a folder from memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)


def table(lines: list[Line]) -> str:
    """The results as Markdown."""
    rows = ["| command | files | seconds (least–greatest) | of the processor | runs |", "|---|---|---|---|---|"]
    for line in lines:
        middle, least, greatest = statistics.median(line.seconds), min(line.seconds), max(line.seconds)
        files = "cold" if line.cold else "warm"
        spread = f"{middle:.2f} ({least:.2f}–{greatest:.2f})"
        rows.append(f"| {line.what} | {files} | {spread} | {line.processor:.2f} | {len(line.seconds)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
