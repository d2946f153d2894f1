"""What vector stores cost: build, open, add, remove, search and memory, by the number of vectors.

    python benchmarks/stores.py                                  # 10^4 and 10^5 vectors of width 1,024, every store
    python benchmarks/stores.py --sizes 624610 --stores faiss indexed --out benchmarks/results/stores_624610.json
    python benchmarks/stores.py --sizes 5000000 --dim 256 --stores indexed --out benchmarks/results/stores_5m.json
    python benchmarks/stores.py --stores milvus-server --milvus http://127.0.0.1:19530 --out ...   # one that is running
    python benchmarks/stores_plot.py                             # draws every benchmarks/results/stores_*.json

Vectors are a Gaussian mixture of 1,000 clusters in a random subspace of 32 dimensions, with a little noise in all
dimensions, of length 1: like embeddings, and unlike pure noise, they have neighbors worth finding. Queries are drawn
from the same mixture. `indexed` is faiss with the index that `camml store index` chooses in a third of the memory at
recall 0.99. Each store is built in one process and used in another, where one call of FAISS on an array in memory, with
nothing of ours around it, is timed by turns with it: times are those of this machine now, and the ratio of each round
is what counts. The memory of a Milvus server is that of all processes of this machine called milvus; it should be there
for this alone. Prints a table and writes JSON.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

STORES = ("memory", "faiss", "indexed", "milvus", "milvus-server")
CLUSTERS, INNER, NOISE = 1000, 32, 0.01
CHANGED, K, BATCH = 10_000, 3, 64
SEARCHED = 512  # queries by which recall is measured
ROUNDS, MANY = 31, 500_000
COLUMNS = ("build_s", "index_s", "open_s", "add_s", "remove_s", "one_ms", "batch_ms", "own_mb", "disk_mb", "recall",
           "one_over_bare", "batch_over_bare")  # fmt: skip


class Given:
    """An encoder in name only: the vectors are given."""

    name, revision, joint = "given", "1", True

    def __init__(self, dim: int) -> None:
        self.image_dim = self.text_dim = dim


def drawn(count: int, dim: int, seed: int) -> np.ndarray:
    """float32[N, D] from the mixture."""
    shape = np.random.default_rng(0)
    frame = shape.normal(size=(INNER, dim)).astype(np.float32) / np.float32(dim**0.5)
    centers = shape.normal(size=(CLUSTERS, INNER)).astype(np.float32)
    dice = np.random.default_rng(seed)
    inner = centers[dice.integers(0, CLUSTERS, count)] + 0.5 * dice.standard_normal((count, INNER), dtype=np.float32)
    vectors = inner @ frame + np.float32(NOISE) * dice.standard_normal((count, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def parts(first: int, count: int, dim: int) -> Iterator[tuple[int, np.ndarray]]:
    """The first number and the vectors of each part, of the size that a build writes at a time."""
    from camml.datastore.embedding import PART

    for start in range(first, first + count, PART):
        yield start, drawn(min(PART, first + count - start), dim, seed=start + 1)


def put(store: Any, first: int, count: int, dim: int) -> float:
    """Add samples whose vectors are known; seconds, less those to draw the vectors."""
    from camml.datastore.commits import commit_added, writing
    from camml.datastore.embedding import Embedded
    from camml.types import Sample

    drawing = 0.0

    def embedded() -> Iterator[Embedded]:
        nonlocal drawing
        given = parts(first, count, dim)
        while True:
            seconds, part = timed(next, given, None)
            drawing += seconds
            if part is None:
                return
            start, vectors = part
            samples = [
                Sample(f"sample-{start + n:09}", f"The text of sample {start + n}.") for n in range(len(vectors))
            ]
            yield Embedded(samples, vectors, np.empty((0, dim), np.float32), np.empty(0, np.int64))

    started = time.perf_counter()
    with writing(store.path):
        store.reload()
        commit_added(store.path, store._snapshot, embedded())
    store.reload()
    return time.perf_counter() - started - drawing


def timed(act: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    started = time.perf_counter()
    result = act(*arguments)
    return time.perf_counter() - started, result


def own(process: str = "self") -> float:
    """Memory of a process, this one or another by its number, that is not a file's, in MB."""
    with open(f"/proc/{process}/status") as lines:
        return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon")), 0.0)


def served() -> float:
    """Memory of the Milvus servers of this machine, in MB."""
    return sum(own(comm.parent.name) for comm in Path("/proc").glob("[0-9]*/comm") if comm.read_text() == "milvus\n")


@contextmanager
def peak(memory: dict[str, Any], name: str) -> Iterator[None]:
    """Note how much more memory than before there was at most, looked at every 20 ms."""
    before, done, most = own(), Event(), [0.0]

    def look() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], own() - before)

    watcher = Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        memory[name] = most[0]


def mapped(folder: Path) -> dict[str, float]:
    """MB of mapped files in memory: of the compressed index, and of the others in `folder`."""
    result, which = {"index": 0.0, "vectors": 0.0}, ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            here = str(folder) in line and line.endswith(".index")
            which = ("index" if line.endswith("-fast.index") else "vectors") if here else ""
        elif which and line.startswith("Rss:"):
            result[which] += int(line.split()[1]) * 1024 / 1e6
    return result


def build(kind: str, count: int, dim: int, folder: Path, chosen: str | None, server: str) -> dict[str, Any]:
    """Make the store of one case."""
    from camml.datastore import Datastore, indexing

    stores_by_name = {
        "indexed": "faiss",
        "milvus": f"milvus://{folder / 'vectors.db'}",
        "milvus-server": f"milvus://{server}",
    }
    result: dict[str, Any] = {"server_before_mb": served()} if kind == "milvus-server" else {}
    store = Datastore.build(folder / "store", [], Given(dim), store=stores_by_name.get(kind, kind))
    with peak(result, "build_peak_mb"):
        result["build_s"] = put(store, 0, count, dim)
    if kind == "indexed":
        required, log = indexing.Requirements(memory=count * dim * 4 // 3, recall=0.99, kind=chosen), list[str]()
        say = lambda line: (log.append(line), print("  ", line, file=sys.stderr, flush=True))  # noqa: E731
        with peak(result, "index_peak_mb"):
            result["index_s"], made = timed(indexing.index, folder / "store", required, say)
        index = made["text"]
        result["index"] = {
            "kind": index.kind,
            **index.settings,
            **index.measured,
            "file_bytes": index.file.bytes,
            "log": log,
        }
    result["disk_mb"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    return result


def use(kind: str, count: int, dim: int, folder: Path) -> dict[str, Any]:
    """Open the store of one case, search it beside FAISS alone, and change it."""
    from camml.datastore import Datastore, manifest, migration

    queries = drawn(BATCH if kind == "memory" else SEARCHED, dim, seed=0)
    tiny = Datastore.build(folder / "tiny", [], Given(dim))
    put(tiny, 0, 2 * K, dim)
    tiny.search(queries[:1], "text", K)  # packages are loaded now
    before = own()
    seconds, store = timed(lambda: Datastore.open(folder / "store", Given(dim)))
    results: dict[str, Any] = {"open_s": seconds}
    results["first_ms"] = 1000 * timed(store.search, queries[:1], "text", K)[0]
    answers = [[n.sample.id for n in context] for context in store.search(queries, "text", K)]
    results |= {"own_mb": own() - before, "mapped_mb": mapped(folder)}
    if kind == "milvus-server":
        results["server_mb"] = served()
    before = own()
    index, seconds = bare(count, dim)
    results["bare"] = {"build_s": seconds, "mb": own() - before}
    truth = [[f"sample-{row:09}" for row in rows] for rows in index.search(queries, K)[1]]
    hits = sum(len(set(its) & set(true)) for its, true in zip(answers, truth, strict=True))
    results["recall"] = hits / (K * len(queries))
    exact = store._snapshot.indexes["text"].exact()
    ways = {"ours": lambda some: store.search(some, "text", K), "bare": lambda some: index.search(some, K)}
    if kind == "indexed":
        ways["exact"] = lambda some: exact.search(some, K)
    results |= by_turns("one", ways, queries, 1, ROUNDS)
    ways["matrix"] = lambda some: as_matrix(index, some)
    results |= by_turns("batch", ways, queries, BATCH, 5 if count <= MANY else 3)
    results["add_s"] = put(store, count, CHANGED, dim)
    gone = np.random.default_rng(3).choice(count + CHANGED, CHANGED, replace=False)
    results["remove_s"] = timed(store.remove, [f"sample-{n:09}" for n in gone])[0]
    if kind == "milvus-server":
        migration.drop_collections(store.path, manifest.read(store.path))
    return results


def bare(count: int, dim: int) -> tuple[Any, float]:
    """FAISS alone, and the seconds it took."""
    import faiss

    index = faiss.IndexFlatIP(dim)
    return index, sum(timed(index.add, part)[0] for _, part in parts(0, count, dim))


def as_matrix(index: Any, queries: np.ndarray) -> None:
    """FAISS alone where it is told to compare a batch by matrix products, as our store tells it."""
    from camml.stores.faiss_index import comparing

    with comparing(len(queries)):
        index.search(queries, K)


def by_turns(
    name: str, ways: Mapping[str, Callable[[np.ndarray], Any]], queries: np.ndarray, size: int, rounds: int
) -> dict[str, Any]:
    """Milliseconds of each way, and the ratios of ours to the others, round by round."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        some = queries[turn * size % len(queries) :][:size]
        for way in list(ways)[:: 1 if turn % 2 else -1]:
            times[way].append(timed(ways[way], some)[0])
    warm = {way: np.asarray(seconds[1:]) for way, seconds in times.items()}
    results: dict[str, Any] = {f"{name}_ms": 1000 * float(np.median(warm["ours"]))}
    for way in list(ways)[1:]:
        results[f"{name}_{way}_ms"] = 1000 * float(np.median(warm[way]))
        five = np.percentile(warm["ours"] / warm[way], [0, 25, 50, 75, 100])
        results[f"{name}_over_{way}"] = dict(zip(("min", "q1", "median", "q3", "max"), five.tolist(), strict=True))
    return results


def in_a_process(step: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What `step` finds in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(step, arguments)


def machine(threads: int) -> dict[str, Any]:
    """Where the numbers are from."""
    import faiss

    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {"cpu": names[0], "cores": len(names), "threads": threads, "faiss": faiss.__version__,
            "python": platform.python_version(), "date": f"{datetime.now(UTC):%Y-%m-%d}"}  # fmt: skip


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES[:-1]), help="(%(default)s)")
    parser.add_argument("--milvus", default="", help="where the server of `milvus-server` is: http://HOST:PORT")
    parser.add_argument("--kind", help="the kind of index of `indexed` (default: what `camml store index` chooses)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/stores.json"))
    parser.add_argument("--folder", type=Path, help="where datastores are written (default: the system's)")
    args = parser.parse_args()
    if "milvus-server" in args.stores and not args.milvus:
        parser.error("--stores milvus-server needs --milvus http://HOST:PORT, a server that is running")
    rows: list[dict[str, Any]] = []
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)  # of the processes started
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print(f"{'store':8} {'vectors':>9} " + " ".join(f"{name:>15}" for name in COLUMNS), flush=True)
    for count in args.sizes:
        for kind in args.stores:
            with tempfile.TemporaryDirectory(dir=args.folder) as folder:
                case = kind, count, args.dim, Path(folder)
                row = {"store": kind, "vectors": count, "dim": args.dim}
                row |= in_a_process(build, *case, args.kind, args.milvus) | in_a_process(use, *case)
            rows.append(row)
            cells = [row[name]["median"] if isinstance(row.get(name), dict) else row.get(name) for name in COLUMNS]
            shown = " ".join(" " * 15 if cell is None else f"{cell:15.3f}" for cell in cells)
            print(f"{kind:8} {count:9} " + shown, flush=True)
            args.out.write_text(json.dumps({"machine": machine(args.threads), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
