"""`camml store size`: what a datastore of a given size will need, before it is built."""

import argparse
from typing import Any

from camml.cli._output import print_json
from camml.cli._store import Action
from camml.errors import OptionError
from camml.sizes import size_in_words, size_of

ROW = 90
"""Bytes of a sample beside its text on the disk: key, id, path of the image, and length, time and hash of its file."""
HELD = 150
"""Bytes of a sample beside its texts in memory: keys, and where each text begins. Measured: 624,610 samples with 46
bytes of id and text took 120 MB (benchmarks/stores.py)."""
MULTIPLIED = 70e9
"""Operations of matrix products a second on one core, with which lists are found. Measured: see docs/scale.md."""
ROUNDS = 10
"""Passes of k-means over the vectors that train it, which FAISS makes."""
LIMITS = {
    "samples": (1, 1e15),
    "dim": (1, 1e6),
    "vectors": (1, 1e6),
    "rate": (1e-6, 1e15),
    "hours": (1e-6, 1e15),
    "cores": (1, 1e6),
}
"""The least and the most of each number, between which all results are finite."""
LARGEST = 10**18
"""Bytes of an amount of memory, at most."""
LINKED = 0.8e-6
"""Seconds on one core for each number of a vector that a graph takes in, at 624,610 x 1,024."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `camml store size`."""
    parser.add_argument("--samples", type=float, required=True, metavar="N", help="such as 665000 or 1e8")
    parser.add_argument("--dim", type=int, default=1024, help="numbers in a vector (default: %(default)s)")
    parser.add_argument("--vectors", type=int, default=1, help="vectors of a sample (default: %(default)s)")
    parser.add_argument("--text", default="500B", metavar="SIZE", help="text of a sample (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=100, help="samples embedded a second by one machine")
    parser.add_argument("--hours", type=float, default=24, help="hours in which all are to be embedded")
    parser.add_argument("--ram", default="64GB", metavar="SIZE", help="memory of one machine (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=8, help="that build the index (default: %(default)s)")
    parser.add_argument(
        "--scan",
        default="8GB",
        metavar="SIZE",
        help="vectors a core compares in a second (default: %(default)s, measured)",
    )


def run(args: argparse.Namespace) -> int:
    """Compute the estimate and print it."""
    facts = estimate(args)
    if args.json:
        print_json(facts)
        return 0
    print(f"{facts['samples']} samples, {facts['vectors']} vectors of width {args.dim}")
    print(f"disk       {size_in_words(facts['disk'])}, of which vectors {size_in_words(facts['vector_bytes'])}")
    print(f"samples    {size_in_words(facts['sample_memory'])} of memory once texts are read")
    print(f"embedding  {facts['hours_of_one']:.3g} machine-hours: {facts['embedders']} machines")
    print(f"{'index':8} {'memory':>9} {'machines':>9} {'to build':>11}")
    for name, index in facts["indexes"].items():
        print(f"{name:8} {size_in_words(index['bytes']):>9} {index['machines']:>9} {index['hours']:>9.3g} h")
    print(f"a flat search reads all vectors: {facts['flat_ms']:.3g} ms a query on one core at {args.scan} a second")
    return 0


def estimate(args: argparse.Namespace) -> dict[str, Any]:
    """Return the numbers.

    Raises:
      OptionError: one of those given is too small or too large.
    """
    from camml.stores._fast import KINDS

    for name, (least, most) in LIMITS.items():
        if not least <= (number := getattr(args, name)) <= most:
            raise OptionError(f"--{name} must be from {least:g} to {most:g}, not {str(number)[:40]}")
    text, ram, scan = (_bytes(getattr(args, name), f"--{name}") for name in ("text", "ram", "scan"))
    count = int(args.samples)
    vectors = count * args.vectors
    vector_bytes, sample_memory = vectors * (args.dim * 4 + 8), count * (text + HELD)
    sizes = {"flat": vector_bytes} | {name: kind.size(vectors, args.dim) for name, kind in KINDS.items()}
    indexes = {
        name: {
            "bytes": size,
            "machines": _ceil(size + sample_memory, ram),
            "hours": build_seconds(name, vectors, args.dim) / args.cores / 3600,
        }
        for name, size in sizes.items()
    }
    hours = count / args.rate / 3600
    return {
        "samples": count,
        "vectors": vectors,
        "vector_bytes": vector_bytes,
        "disk": vector_bytes + count * (text + ROW),
        "sample_memory": sample_memory,
        "hours_of_one": hours,
        "embedders": _ceil(hours, args.hours),
        "flat_ms": 1000 * vector_bytes / scan,
        "indexes": indexes,
    }


def _bytes(text: str, name: str) -> int:
    """Return the bytes of an amount of memory; raise an OptionError where it is none, or too large."""
    size = size_of(text, name)
    if size > LARGEST:
        raise OptionError(f"{name} must be at most {LARGEST:g} bytes, not {text[:40]}")
    return size


def build_seconds(name: str, count: int, dim: int) -> float:
    """Return the seconds of one core for the index `name` of `count` vectors of width `dim`; 0 where it is little."""
    from camml.stores._fast import KINDS, SEEN, lists_for

    if name == "hnsw":
        return LINKED * count * dim
    if name == "flat" or KINDS[name].setting is None:
        return 0.0
    compared = ROUNDS * min(count, SEEN * lists_for(count)) + count
    return 2 * compared * lists_for(count) * dim / MULTIPLIED


def _ceil(amount: float, each: float) -> int:
    return max(1, -int(-amount // each))


ACTIONS = (
    Action("size", "what a datastore of some size will need: disk, memory, hours, machines", add_arguments, run),
)
