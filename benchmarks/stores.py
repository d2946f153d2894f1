"""What vector stores cost: build, open, add, remove, search and memory, by the number of vectors.

    python benchmarks/stores.py                                     # 10^4 and 10^5 vectors of width 1,024, every store
    python benchmarks/stores.py --sizes 624610 --stores faiss indexed   # the paper's datastore; 6 GB of disk and memory
    python benchmarks/stores.py --sizes 5000000 --dim 256 --stores indexed

Vectors are a Gaussian mixture of 1,000 clusters in a random subspace of 32 dimensions, with a little noise in all
dimensions, of length 1: like embeddings, and unlike pure noise, they have neighbors worth finding. Queries are drawn
from the same mixture. `indexed` is faiss with the index that `camml store index` chooses in a third of the memory at
recall 0.99; `bare` is one call of FAISS on one array in memory, with nothing of ours around it. Each case runs in a
process of its own. Prints a table, and writes JSON and a plot.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

STORES = ("memory", "faiss", "indexed", "bare", "milvus")
CLUSTERS, INNER, NOISE = 1000, 32, 0.01
CHUNK, CHANGED, K = 100_000, 10_000, 3
COLUMNS = ("build_s", "index_s", "open_s", "add_s", "remove_s", "one_ms", "batch_ms", "heap_mb", "disk_mb", "recall")


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


def chunks(count: int, dim: int) -> Iterator[tuple[int, np.ndarray]]:
    """The first row and the vectors of each part."""
    for first in range(0, count, CHUNK):
        yield first, drawn(min(CHUNK, count - first), dim, seed=first + 1)


def put(store: Any, first: int, vectors: np.ndarray) -> None:
    """Add samples whose vectors are known."""
    from camml.datastore.commits import commit_added, writing
    from camml.datastore.embedding import Embedded
    from camml.types import Sample

    samples = [Sample(f"sample-{first + n:09}", f"The text of sample {first + n}.") for n in range(len(vectors))]
    none = np.empty((0, vectors.shape[1]), np.float32)
    with writing(store.path):
        store.reload()
        commit_added(store.path, store._snapshot, Embedded(samples, vectors, none, np.empty(0, np.int64)))
    store.reload()


def timed(act: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Seconds, and what came of it."""
    started = time.perf_counter()
    result = act(*arguments)
    return time.perf_counter() - started, result


def heap() -> int:
    """Memory of this process that is not a file's, in bytes."""
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def times(search: Callable[[np.ndarray], Any], queries: np.ndarray) -> dict[str, float]:
    """Milliseconds of a search of one query, and of 64."""
    search(queries[:1])
    one = median(timed(search, queries[n : n + 1])[0] for n in range(15))
    return {"one_ms": 1000 * one, "batch_ms": 1000 * median(timed(search, queries)[0] for _ in range(3))}


def measured(kind: str, count: int, dim: int, folder: Path) -> dict[str, Any]:
    """One case."""
    queries = drawn(64, dim, seed=0)
    if kind == "bare":
        return bare(count, dim, queries)
    from camml.datastore import Datastore, indexing

    home = {"indexed": "faiss", "milvus": f"milvus://{folder / 'vectors.db'}"}.get(kind, kind)
    path, found = folder / "store", dict[str, Any]()
    store = Datastore.build(path, [], Given(dim), store=home)
    found["build_s"] = sum(timed(put, store, first, part)[0] for first, part in chunks(count, dim))
    if kind in ("faiss", "indexed"):
        found |= against_bare(store, queries, count, dim)
    truth = [[n.sample.id for n in context] for context in store.search(queries, "text", K)]
    if kind == "indexed":
        wish = indexing.Wish(memory=count * dim * 4 // 3, recall=0.99)
        found["index_s"], made = timed(indexing.index, path, wish, print)
        found["index"] = {"kind": made["text"].kind, **made["text"].settings, **made["text"].measured}
    del store
    before = heap()
    found["open_s"], store = timed(lambda: Datastore.open(path, Given(dim)))
    found |= times(lambda some: store.search(some, "text", K), queries)
    found["heap_mb"] = (heap() - before) / 1e6
    found["disk_mb"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    answers = [{n.sample.id for n in context} for context in store.search(queries, "text", K)]
    found["recall"] = sum(len(its & set(true)) for its, true in zip(answers, truth, strict=True)) / (K * len(truth))
    extra = drawn(CHANGED, dim, seed=7)
    found["add_s"] = timed(put, store, count, extra)[0]
    gone = [f"sample-{n:09}" for n in np.random.default_rng(3).choice(count, min(CHANGED, count // 8), replace=False)]
    found["remove_s"] = timed(store.remove, gone)[0]
    return found


def bare(count: int, dim: int, queries: np.ndarray) -> dict[str, Any]:
    """FAISS alone."""
    import faiss

    before, index = heap(), faiss.IndexFlatIP(dim)
    seconds = sum(timed(index.add, part)[0] for _, part in chunks(count, dim))
    return {"build_s": seconds, "heap_mb": (heap() - before) / 1e6} | times(lambda some: index.search(some, K), queries)


def against_bare(store: Any, queries: np.ndarray, count: int, dim: int) -> dict[str, Any]:
    """Our exact search and one bare call of FAISS by turns, so that both see the same machine."""
    import faiss

    index = faiss.IndexFlatIP(dim)
    for _, part in chunks(count, dim):
        index.add(part)
    found = {}
    for name, some in (("one", queries[:1]), ("batch", queries)):
        pairs = [
            (timed(store.search, some, "text", K)[0], timed(index.search, some, K)[0])
            for _ in range(12 if name == "one" else 4)
        ][1:]
        found[f"{name}_exact_over_bare"] = median(ours for ours, _ in pairs) / median(bare for _, bare in pairs)
        found[f"{name}_bare_ms"] = 1000 * median(bare for _, bare in pairs)
    return found


def in_a_process(kind: str, count: int, dim: int, send: Any) -> None:
    """Run one case and send what it found."""
    with tempfile.TemporaryDirectory() as folder:
        send.send({"store": kind, "vectors": count, "dim": dim} | measured(kind, count, dim, Path(folder)))


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Milliseconds and megabytes by the number of vectors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4))
    for axis, column in zip(axes, ("one_ms", "add_s", "disk_mb"), strict=True):
        for kind in STORES:
            points = sorted((row["vectors"], row[column]) for row in rows if row["store"] == kind and column in row)
            if points:
                axis.loglog(*zip(*points, strict=True), marker="o", label=kind)
        axis.set(
            xlabel="vectors",
            title={"one_ms": "one query (ms)", "add_s": "add 10,000 (s)", "disk_mb": "disk (MB)"}[column],
        )
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/stores"))
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)  # of the processes started
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print(f"{'store':8} {'vectors':>9} " + " ".join(f"{name:>9}" for name in COLUMNS), flush=True)
    for count in args.sizes:
        for kind in args.stores:
            receive, send = multiprocessing.Pipe(duplex=False)
            case = multiprocessing.get_context("spawn").Process(target=in_a_process, args=(kind, count, args.dim, send))
            case.start()
            send.close()
            try:
                row = receive.recv()
            except EOFError:
                print(f"{kind:8} {count:9} failed", flush=True)
                continue
            finally:
                case.join()
            rows.append(row)
            cells = (f"{row[name]:9.3f}" if name in row else " " * 9 for name in COLUMNS)
            print(f"{kind:8} {count:9} " + " ".join(cells), flush=True)
            args.out.with_suffix(".json").write_text(json.dumps(rows, indent=1))
    plot(rows, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
