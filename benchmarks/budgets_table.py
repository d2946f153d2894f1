"""Print the results of `budgets.py` as the table of docs/ownpix.md.

python benchmarks/budgets_table.py benchmarks/results/budgets.json benchmarks/results/budgets_as_it_is.json
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

TASKS = {"ownpix_short": "OwnPix short", "ownpix_long": "OwnPix long", "factpix": "FactPix"}
READERS = {"fine-tuned": "fine-tuned", "CaMML": "**CaMML mini**", "as it is": "SmolLM2 as it is"}
FULL = {3: "full texts", 1: "one full text"}

Key = tuple[str, str, int | None, int]


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return a Markdown table: a line for each reader and what it is given, most text first; empty where not run.

    Of two rows about the same the first counts.
    """
    cells: dict[Key, dict[str, dict[str, Any]]] = {}
    for row in rows:
        key = (row["reader"], row["texts"], row.get("tokens"), row["shots"])
        cells.setdefault(key, {}).setdefault(row["task"], row)
    lines = [f"| reader | tokens of text | {' | '.join(TASKS.values())} | prompt tokens |", "|---|---|---|---|---|---|"]
    return "\n".join(lines + [_line(key, cells[key]) for key in sorted(cells, key=_place)])


def _place(key: Key) -> tuple[bool, bool, float, int, bool, int]:
    """Return where a line stands: looking up first, the language model as it is last."""
    reader, texts, tokens, shots = key
    return (
        reader != "no model",
        reader == "as it is",
        -(tokens or float("inf")),
        -shots,
        texts == "cut",
        list(READERS).index(reader) if reader in READERS else 0,
    )


def _line(key: Key, tasks: dict[str, dict[str, Any]]) -> str:
    reader, texts, tokens, shots = key
    right = " | ".join(f"{tasks[task]['right']:.1f}" if task in tasks else "" for task in TASKS)
    if reader == "no model":
        return f"| no model: the nearest one's fact | – | {right} | – |"
    given = FULL[shots] if tokens is None else texts
    prompt = ", ".join(f"{tasks[task]['prompt_tokens']:.0f}" if task in tasks else "–" for task in TASKS)
    return f"| {READERS[reader]}, {given} | {tokens or 'all'} | {right} | {prompt} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of some files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    files = parser.parse_args(arguments).files
    print(table(row for file in files for row in json.loads(file.read_text())["rows"]))


if __name__ == "__main__":
    main()
