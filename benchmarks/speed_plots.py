"""Draws what the speed scripts found, from their JSON alone.

    python benchmarks/speed_plots.py                                  # docs/images/speed_*.png of benchmarks/results
    python benchmarks/speed_plots.py benchmarks/results/gpu/*.json --out benchmarks/results/gpu

Every speed script draws its own result with `draw`, beside its JSON.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

Document = dict[str, Any]

SCRIPTS = ("context_cost", "decode", "prefill", "evaluation", "embedding", "train_step", "start")
NAMES = {"camml": "CaMML", "cached": "CaMML, samples kept", "interleaved": "images and texts interleaved",
         "texts": "texts in the prompt"}  # fmt: skip
BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a8a8a"
COLORS = {"camml": ORANGE, "cached": BLUE, "interleaved": PINK, "texts": GREEN}


def main() -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="*", help="default: those of the speed scripts that are there")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="(%(default)s)")
    args = parser.parse_args()
    default = sorted(Path("benchmarks/results").glob("*.json"))
    for path in args.results or default:
        document = json.loads(path.read_text())
        if isinstance(document, dict) and document.get("script") in SCRIPTS:
            place = args.out / f"speed_{path.stem}.png"
            draw(document, place)
            print(place)
        elif args.results:
            print(f"{path}: not of a speed script, left out")


def draw(document: Document, place: Path) -> None:
    """The plot of one result, as PNG."""
    makers: dict[str, Callable[[Figure, Document], None]] = {
        "context_cost": draw_context, "decode": draw_decode, "prefill": draw_prefill, "evaluation": draw_rates,
        "embedding": draw_rates, "train_step": draw_training, "start": draw_start,
    }  # fmt: skip
    figure = Figure(figsize=(9, 4), layout="constrained")
    makers[document["script"]](figure, document)
    figure.suptitle(caption(document), fontsize=9, color="0.35")
    place.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(place, dpi=130)


def caption(document: Document) -> str:
    """What was measured and where."""
    what = document.get("size") or document.get("encoder") or document.get("model") or ""
    threads = "" if document["dtype"] is None else f"{document['dtype']}, {document['threads']} thread(s), "
    return f"{document['script']} {what} · {document['device']}, {threads}{document['date']}"


def draw_context(figure: Figure, document: Document) -> None:
    """Seconds and tokens by number of samples."""
    left, right = figure.subplots(1, 2)
    for way, name in NAMES.items():
        line = [cost for cost in document["costs"] if cost["way"] == way or not cost["shots"]]
        shots = [cost["shots"] for cost in line]
        left.errorbar(shots, [cost["seconds"]["middle"] for cost in line], reach([cost["seconds"] for cost in line]),
                      marker="o", markersize=4, capsize=3, color=COLORS[way], label=name)  # fmt: skip
        tokens = [cost["tokens"] for cost in line]
        if way != "camml":  # the same as of kept samples
            right.plot(shots, tokens, marker="o", markersize=4, color=COLORS[way])
    left.axhline(1.25 * document["costs"][0]["seconds"]["middle"], color=GREY, linestyle=":",
                 label="1.25 × no context")  # fmt: skip
    left.set(ylabel="seconds to the first token", yscale="log")
    right.set(ylabel="tokens the language model reads", yscale="log")
    for axes in (left, right):
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("samples")
        axes.set_xticks(sorted({cost["shots"] for cost in document["costs"]}))
        tidy(axes)
    left.legend(fontsize=8, frameon=False)


def draw_decode(figure: Figure, document: Document) -> None:
    """Milliseconds of a step of ours and of the bare model, and the floor."""
    axes = figure.subplots()
    names = [f"{line['cache']} cache\nbatch {line['batch']}" for line in document["lines"]]
    series = {"CaMML": (BLUE, "ours"), "bare language model": (ORANGE, "bare")}
    grouped(axes, names, {name: (color, [line[key] for line in document["lines"]])
                          for name, (color, key) in series.items()}, 1e3)  # fmt: skip
    axes.axhline(1e3 * document["floor_seconds"], color=GREY, linestyle=":", label="floor: weights / memory speed")
    axes.set_ylabel("ms a step")
    axes.legend(fontsize=8, frameon=False)


def draw_prefill(figure: Figure, document: Document) -> None:
    """Seconds a prompt, and the parts that are not the language model."""
    left, right = figure.subplots(1, 2)
    names = [f"batch {line['batch']}" for line in document["lines"]]
    series = {"all": (ORANGE, "whole"), "samples kept": (BLUE, "cached"), "bare language model": (GREY, "bare")}
    spreads = {
        name: (color, [{k: v / line["batch"] for k, v in line[key].items()} for line in document["lines"]])
        for name, (color, key) in series.items()
    }
    grouped(left, names, spreads, 1.0)
    left.set_ylabel("seconds a prompt")
    parts = {"with 3 samples": (ORANGE, "front"), "samples kept": (BLUE, "front_cached")}
    grouped(right, names, {name: (color, [line[key] for line in document["lines"]])
                           for name, (color, key) in parts.items()}, 100.0)  # fmt: skip
    right.axhline(10, color=GREY, linestyle=":", label="goal")
    right.set_ylabel("vision tower and perceivers, % of all")
    for axes in (left, right):
        axes.legend(fontsize=8, frameon=False)


def draw_rates(figure: Figure, document: Document) -> None:
    """Questions or images a second by way."""
    axes = figure.subplots()
    unit = "questions" if document["script"] == "evaluation" else "images"
    lines = document["lines"]
    values = [line[f"{unit}_per_second"] for line in lines]
    middle = [value["middle"] for value in values]
    names = [line["way"] for line in lines]
    colors = [GREY if name in ("one by one", "bare", "loop") else BLUE for name in names]
    axes.bar(names, middle, yerr=reach(values), capsize=4, color=colors, width=0.6)
    for place, (value, line) in enumerate(zip(values, lines, strict=True)):
        times = line.get("ratio") or line["of_bare"]
        beside = "one by one" if "ratio" in line else "bare"
        axes.annotate(f"{value['middle']:.3g}\n({times['middle']:.2g} × {beside})", (place, value["greatest"]),
                      xytext=(0, 4), textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
    axes.set_ylabel(f"{unit} a second")
    axes.set_ylim(top=1.25 * max(value["greatest"] for value in values))
    tidy(axes)


def draw_training(figure: Figure, document: Document) -> None:
    """Tokens a second, and the parts of the ceiling."""
    left, right = figure.subplots(1, 2)
    lines = [result for result in document["results"] if not result["error"]]
    names = [f"{line['case'].removeprefix('camml_')}\n{line['tune']}, {line['rows']} row(s)" for line in lines]
    seconds = {"CaMML": (BLUE, [line["seconds"] for line in lines])}
    zero = {"middle": 0.0, "least": 0.0, "greatest": 0.0}
    seconds["language model alone"] = (ORANGE, [line["bare_seconds"] or zero for line in lines])
    grouped(left, names, seconds, 1.0)
    left.set_ylabel("seconds a step")
    shares = {name: (color, [dict.fromkeys(zero, line[key]) for line in lines])
              for name, (color, key) in {"MFU": (BLUE, "mfu"), "HFU": (GREEN, "hfu")}.items()}  # fmt: skip
    grouped(right, names, shares, 100.0)
    right.set_ylabel("% of the matmul ceiling")
    for axes in (left, right):
        axes.tick_params(axis="x", labelsize=6, rotation=45 if len(names) > 4 else 0)
        axes.legend(fontsize=8, frameon=False)


def draw_start(figure: Figure, document: Document) -> None:
    """Seconds until a command is done."""
    axes = figure.subplots()
    lines = list(reversed(document["lines"]))
    middle = [float(np.median(line["seconds"])) for line in lines]
    bars = [[m - min(line["seconds"]) for m, line in zip(middle, lines, strict=True)],
            [max(line["seconds"]) - m for m, line in zip(middle, lines, strict=True)]]  # fmt: skip
    names = [f"{line['what']}, {'cold' if line['cold'] else 'warm'}" for line in lines]
    colors = [BLUE if line["what"].startswith("camml") else GREY for line in lines]
    axes.barh(names, middle, xerr=bars, capsize=3, color=colors, height=0.6)
    for place, (value, row) in enumerate(zip(middle, lines, strict=True)):
        axes.annotate(f"{value:.2f}", (max(row["seconds"]), place), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    axes.set_xlabel("seconds")
    axes.set_xlim(right=1.12 * max(max(line["seconds"]) for line in lines))
    tidy(axes)


def grouped(
    axes: Axes, names: Sequence[str], series: dict[str, tuple[str, list[dict[str, float]]]], factor: float
) -> None:
    """Bars side by side with their spreads."""
    width = 0.8 / len(series)
    for number, (label, (color, values)) in enumerate(series.items()):
        places = np.arange(len(names)) + (number - (len(series) - 1) / 2) * width
        middle = [factor * value["middle"] for value in values]
        axes.bar(places, middle, width, yerr=factor * reach(values), capsize=3, color=color, label=label)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.8, len(names) - 0.2)
    tidy(axes)


def reach(spreads: Sequence[dict[str, float]]) -> "np.ndarray[Any, Any]":
    """float[2, N]: how far the least and the greatest are from the middle."""
    return np.array([[spread["middle"] - spread["least"] for spread in spreads],
                     [spread["greatest"] - spread["middle"] for spread in spreads]])  # fmt: skip


def tidy(axes: Axes) -> None:
    """What all plots have."""
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
