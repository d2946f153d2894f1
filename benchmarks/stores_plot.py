"""Draws what `benchmarks/stores.py` measured: times and memory of each store by the number of vectors.

python benchmarks/stores_plot.py      # every benchmarks/results/stores_*.json, into docs/images/stores.png
"""

import argparse
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from camml.evaluation.files import write_bytes

NAMES = {"memory": "memory", "faiss": "faiss, exact", "indexed": "faiss, compressed index", "milvus": "Milvus Lite",
         "milvus-server": "Milvus server", "bare": "one FAISS array, alone"}  # fmt: skip
COLOURS = {"memory": "#009e73", "faiss": "#0072b2", "indexed": "#d55e00", "milvus": "#cc79a7",
           "milvus-server": "#e69f00", "bare": "#666666"}  # fmt: skip
WIDTH = 1024
Row = Mapping[str, Any]


def memory(row: Row) -> float:
    """MB for searching at this speed: the process's own, and of files the index or else all vectors; and a server's."""
    files: Mapping[str, float] = row["mapped_mb"]
    return float(row["own_mb"] + (files["index"] or files["vectors"]) + row.get("server_mb", 0))


PANELS: Sequence[tuple[str, Callable[[Row], Any], str]] = (
    ("one query (ms)", lambda row: row["one_ms"], "one_bare_ms"),
    ("64 queries (ms)", lambda row: row["batch_ms"], "batch_bare_ms"),
    ("memory for searching (MB)", memory, "mb"),
    ("build, with the index (s)", lambda row: row["build_s"] + row.get("index_s", 0), "build_s"),
    ("add 10,000 (s)", lambda row: row["add_s"], ""),
    ("remove 10,000 (s)", lambda row: row["remove_s"], ""),
)


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="*", help="default: benchmarks/results/stores_*.json")
    parser.add_argument("--out", type=Path, default=Path("docs/images/stores.png"), help="(%(default)s)")
    args = parser.parse_args()
    documents = [
        json.loads(path.read_text())
        for path in args.results or sorted(Path("benchmarks/results").glob("stores_*.json"))
    ]
    rows = [row for document in documents for row in document["rows"]]
    drawn = [row for row in rows if row is fastest(rows, row)]
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    for axes, (title, value, of_bare) in zip(figure.subplots(2, 3).flat, PANELS, strict=True):
        draw(axes, drawn, value, of_bare)
        axes.set_title(title, fontsize=10)
    figure.legend(handles=legend(drawn), loc="outside lower center", ncols=7, fontsize=9, frameon=False)
    where = documents[0]["machine"]
    figure.suptitle(f"{where['threads']} thread of {where['cpu']}, FAISS {where['faiss']}, {where['date']}", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_bytes(args.out, buffer.getvalue())
    print(args.out)
    print("\n".join(table(rows)))


def fastest(rows: Sequence[Row], like: Row) -> Row:
    """Of the rows of one store and size, which differ in the kind of index, that with the fastest search."""
    same = [row for row in rows if all(row[name] == like[name] for name in ("store", "vectors", "dim"))]
    return min(same, key=lambda row: float(row["one_ms"]))


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of two tables: what each store takes, and how much longer than FAISS alone."""
    ordered = sorted(rows, key=lambda row: (row["vectors"], list(NAMES).index(row["store"])))
    titles = "vectors", "store", "build", "open", "add", "remove", "1 query", "64 queries", "memory", "recall at 3"
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in ordered:
        index = f" + {row['index_s']:.0f} s" if "index_s" in row else ""
        cells = [size_of(row), name_of(row), f"{row['build_s']:.1f} s{index}", f"{row['open_s']:.2f} s",
                 f"{row['add_s']:.2f} s", f"{row['remove_s']:.2f} s", milliseconds(row["one_ms"]),
                 milliseconds(row["batch_ms"]), f"{memory(row):,.0f} MB", f"{row['recall']:.3f}"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    others = ("one_over_bare", "batch_over_bare", "batch_over_matrix", "one_over_exact", "batch_over_exact")
    lines += ["", f"| vectors | store | {' | '.join(others)} |", "|---|---|---|---|---|---|---|"]
    for row in ordered:
        lines.append(f"| {size_of(row)} | {name_of(row)} | {' | '.join(spread(row.get(name)) for name in others)} |")
    return lines


def size_of(row: Row) -> str:
    """How many vectors, and of what width, if not the usual one."""
    return f"{row['vectors']:,}" + (f" × {row['dim']}" if row["dim"] != WIDTH else "")


def name_of(row: Row) -> str:
    """Which store, and the kind of its index."""
    return NAMES[row["store"]] + (f" ({row['index']['kind']})" if "index" in row else "")


def milliseconds(amount: float) -> str:
    """Two digits at least."""
    return f"{amount:,.{2 if amount < 1 else 1 if amount < 10 else 0}f} ms"


def spread(ratio: Mapping[str, float] | None) -> str:
    """Median and quartiles, with two digits at least."""
    if not ratio:
        return ""
    digits = next(digits for below, digits in ((0.1, 3), (10, 2), (float("inf"), 0)) if ratio["median"] < below)
    low, middle, high = (f"{ratio[name]:.{digits}f}" for name in ("q1", "median", "q3"))
    return f"{middle} ({low}–{high})"


def draw(axes: Axes, rows: Sequence[Row], value: Callable[[Row], Any], of_bare: str) -> None:
    """One panel: a line for each store, hollow marks for vectors of another width."""
    beside = [row for row in rows if row["store"] == "faiss" and of_bare]
    series = {kind: [(row, value(row)) for row in rows if row["store"] == kind] for kind in NAMES if kind != "bare"}
    series["bare"] = [(row, row["bare"].get(of_bare, row.get(of_bare))) for row in beside]
    for kind, points in series.items():
        style = {"color": COLOURS[kind], "marker": "o", "markersize": 5, "linestyle": ":" if kind == "bare" else "-"}
        for same, filled in ((True, COLOURS[kind]), (False, "white")):
            chosen = sorted((row["vectors"], what) for row, what in points if (row["dim"] == WIDTH) is same)
            if chosen:
                axes.plot(*zip(*chosen, strict=True), markerfacecolor=filled, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("vectors", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="0.9", which="major")


def legend(rows: Sequence[Row]) -> list[Line2D]:
    """What the lines and the hollow marks are."""
    kinds = [kind for kind in NAMES if kind == "bare" or any(row["store"] == kind for row in rows)]
    lines = [Line2D([], [], color=COLOURS[kind], marker="o", markersize=5, label=NAMES[kind],
                    linestyle=":" if kind == "bare" else "-") for kind in kinds]  # fmt: skip
    widths = sorted({row["dim"] for row in rows} - {WIDTH})
    return lines + [
        Line2D(
            [],
            [],
            color="0.3",
            marker="o",
            markerfacecolor="white",
            linestyle="",
            label=f"width {width}, not {WIDTH:,}",
        )
        for width in widths
    ]


if __name__ == "__main__":
    main()
