"""How long a command takes to start, with its files in memory and without, beside what nobody can be faster than.

    python benchmarks/start.py
    python benchmarks/start.py --runs 20 --only help

The floor of `camml --help` is Python itself, that of `camml ask` the import of torch and of the model's class. Commands
take turns. `cold` runs begin after the files of the environment and of the model were dropped from memory, as far as no
other process uses them; nothing but Linux can do that. Seconds of the processor hardly depend on what else the machine
does. Prints a table with what was imported at the most cost, and writes JSON and a plot.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from _measure import Spread, circumstances, write

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
IMPORTS = "import torch; from transformers import LlamaForCausalLM"
Command = list[str]


@dataclass
class Line:
    """One line of the table: seconds of all runs by the clock, and the middle of those of the processor."""

    what: str
    cold: bool
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def main() -> None:
    """Measure the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--runs", type=int, default=12, help="of every short command; a quarter of the long (%(default)s)"
    )
    parser.add_argument("--only", choices=("help", "ask"), help="default: both")
    parser.add_argument("--model", default=MODEL, help="a folder or a name `camml fetch` knows (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/start.json"))
    args = parser.parse_args()
    camml = [sys.executable, "-m", "camml"]
    document = circumstances(torch.device("cpu")) | {"model": Path(args.model).name, "lines": [], "imports": {}}
    if args.only != "ask":
        short = {"python -c pass (floor)": [sys.executable, "-c", "pass"], "camml --help": [*camml, "--help"]}
        document["lines"] += measure(short, args.runs)
        document["imports"]["camml --help"] = imported(["-m", "camml", "--help"])
    if args.only != "help":
        folder, few = weights.folder(args.model), max(1, args.runs // 4)
        ask = ["ask", QUESTION, "--max-new-tokens", "8", "--model", str(folder)]
        long = {
            "importing torch and the model's class (floor)": [sys.executable, "-c", IMPORTS],
            "the same answer by transformers alone": [sys.executable, "-c", BARE.format(str(folder))],
            "camml ask": [*camml, *ask],
        }
        document["lines"] += measure(long, few) + measure(long, few, [folder])
        document["imports"]["camml ask"] = imported(["-m", "camml", *ask])
    write(document, args.out)
    print(table(document))


def measure(commands: dict[str, Command], runs: int, evicted: list[Path] | None = None) -> list[dict[str, Any]]:
    """The times of commands in turns; cold where there are `evicted` folders, which go with the environment's."""
    lines = {what: Line(what, evicted is not None) for what in commands}
    for number in range(runs + (evicted is None)):
        for what, command in commands.items():
            for folder in [] if evicted is None else [Path(sysconfig.get_path("purelib")), *evicted]:
                evict(folder)
            before, started = spent(), time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if evicted is not None or number:  # the first warm one warms up
                lines[what].seconds.append(time.perf_counter() - started)
                lines[what].processor.append(spent() - before)
    return [asdict(line) for line in lines.values()]


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


def imported(command: Command, most: int = 8) -> list[dict[str, Any]]:
    """The packages whose own modules took longest to import, by `python -X importtime`: milliseconds and modules."""
    done = subprocess.run([sys.executable, "-X", "importtime", *command], check=True, capture_output=True, text=True)
    results: dict[str, list[float]] = {}
    for line in done.stderr.splitlines():
        own, _, name = line.removeprefix("import time:").partition("|")
        if line.startswith("import time:") and own.strip().isdigit():
            package = name.partition("|")[2].strip().partition(".")[0]
            results.setdefault(package, []).append(int(own) / 1e3)
    order = sorted(results, key=lambda package: -sum(results[package]))
    return [
        {"package": package, "ms": sum(results[package]), "modules": len(results[package])} for package in order[:most]
    ]


def table(document: dict[str, Any]) -> str:
    """A result as Markdown: the floors first."""
    rows = ["| command | files | seconds | of the processor | × floor | runs |", "|---" * 6 + "|"]
    floor = Line("", False)
    for line in (Line(**line) for line in document["lines"]):
        floor = line if line.what.endswith("(floor)") else floor
        ratio = Spread.of([mine / best for mine, best in zip(line.seconds, floor.seconds, strict=True)])
        rows.append(
            f"| {line.what} | {'cold' if line.cold else 'warm'} | {Spread.of(line.seconds):.2f} "
            f"| {statistics.median(line.processor):.2f} | {ratio:.2f} | {len(line.seconds)} |"
        )
    for command, packages in document["imports"].items():
        costs = ", ".join(
            f"`{package['package']}` {package['ms']:.0f} ms ({package['modules']})" for package in packages
        )
        rows += ["", f"Imports of `{command}`, own time by package (modules): {costs}."]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
