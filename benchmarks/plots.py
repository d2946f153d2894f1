"""Draws what FactPix gave: accuracy against shots with intervals, and language-model tokens against shots.

    python benchmarks/plots.py                                        # every benchmarks/results/factpix_*.json
    python benchmarks/plots.py benchmarks/results/factpix_mini.json

Writes `factpix_LABEL_accuracy.png` and `factpix_LABEL_tokens.png` to `docs/images/`.
"""

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camml.evaluation.files import write_bytes

NAMES = {
    "camml": "CaMML",
    "in_prompt": "texts in the prompt",
    "interleaved": "pictures and texts in the prompt",
    "interleaved_tuned": "pictures and texts in the prompt, fine-tuned",
    "in_prompt_tuned": "texts in the prompt, fine-tuned",
    "no_model": "no model",
}
KINDS = {"retrieved": "", "oracle": ", right sample first", "random": ", random samples", "majority": "majority vote",
         "copy": "nearest sample copied"}  # fmt: skip
COLOURS = {
    "camml": "#0072b2",
    "in_prompt": "#d55e00",
    "in_prompt_tuned": "#cc79a7",
    "interleaved": "#d55e00",
    "interleaved_tuned": "#cc79a7",
    "no_model": "#666666",
}
STYLES = {"retrieved": "-", "oracle": "--", "random": ":", "majority": "-.", "copy": "-."}
MARKS = {"retrieved": "o", "oracle": "^", "random": "x", "majority": "s", "copy": "D"}
Row = Mapping[str, Any]


def main() -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="*", help="default: benchmarks/results/factpix_*.json")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="(%(default)s)")
    args = parser.parse_args()
    for path in args.results or sorted(Path("benchmarks/results").glob("factpix_*.json")):
        document = json.loads(path.read_text())
        rows = [row for row in document["runs"] if row["split"] == "heldout"]
        for what, draw in (("accuracy", draw_accuracy), ("tokens", draw_tokens)):
            place = args.out / f"{path.stem}_{what}.png"
            figure = Figure(figsize=(7, 5), layout="constrained")
            axes = figure.subplots()
            draw(axes, rows)
            axes.set_title(title(document, rows), fontsize=9)
            finish(axes, rows)
            figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
            save(figure, place)
            print(place)


def title(document: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """What was asked, and of how much."""
    return f"FactPix, held-out classes: {rows[0]['questions']} questions about {rows[0]['classes']} classes"


def series(rows: Sequence[Row], system: str, context: str) -> list[Row]:
    """The runs of one line; where a model got the nearest samples, the run without samples begins it."""
    kinds = (context, "none") if context == "retrieved" else (context,)
    return sorted(
        (row for row in rows if row["system"] == system and row["context"] in kinds), key=lambda r: r["shots"]
    )


def draw_accuracy(axes: Axes, rows: Sequence[Row]) -> None:
    """Accuracy against shots, with 95 % intervals over classes; how often a right sample was found is the ceiling."""
    systems = [name for name in NAMES if any(row["system"] == name for row in rows)]
    for place, system in enumerate(systems):
        for context, words in KINDS.items():
            points = series(rows, system, context)
            if not points or (context == "retrieved" and len(points) < 2):
                continue
            values = [row["accuracy"] for row in points]
            reach = [[value - row["interval"]["low"] for value, row in zip(values, points, strict=True)],
                     [row["interval"]["high"] - value for value, row in zip(values, points, strict=True)]]  # fmt: skip
            label = words if system == "no_model" else NAMES[system] + words
            shots = [row["shots"] + 0.06 * (place - 1) for row in points]  # so that intervals do not hide each other
            axes.errorbar(shots, values, yerr=reach, label=label, marker=MARKS[context], markersize=5, capsize=3,
                          color=COLOURS[system], linestyle=STYLES[context])  # fmt: skip
    nearest = [row["retrieval"] for row in rows if row["context"] == "retrieved"]
    hits = {int(name.partition("@")[2]): value for shares in nearest for name, value in shares.items()}
    if hits:
        axes.plot(sorted(hits), [hits[k] for k in sorted(hits)], color="#009e73", marker=".",
                  label="a right sample is among the nearest")  # fmt: skip
    axes.set_ylabel("accuracy, mean over classes (%)")
    axes.set_ylim(0, 103)


def draw_tokens(axes: Axes, rows: Sequence[Row]) -> None:
    """Tokens that the language model reads for a question, against shots."""
    for system in NAMES:
        points = series(rows, system, "retrieved")
        if points and system != "no_model":
            axes.plot([row["shots"] for row in points], [row["tokens"]["prompt"] for row in points], marker="o",
                      color=COLOURS[system], label=NAMES[system])  # fmt: skip
    axes.set_ylabel("tokens read by the language model")
    axes.set_ylim(bottom=0)


def finish(axes: Axes, rows: Sequence[Row]) -> None:
    """What both plots have."""
    axes.set_xlabel("samples given (shots)")
    axes.set_xticks(sorted({row["shots"] for row in rows}))
    axes.grid(color="0.88")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())


if __name__ == "__main__":
    main()
