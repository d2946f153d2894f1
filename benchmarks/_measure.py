"""What the speed scripts share: spreads, clocks, floors, profiles, and where a result was measured."""

import json
import os
import platform
import resource
import shlex
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "numpy")
GB = 2**30


@dataclass(frozen=True)
class Spread:
    """Several measurements of one thing: the middle one, the least and the greatest."""

    middle: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of some values."""
        return cls(statistics.median(values), min(values), max(values))

    def times(self, factor: float) -> "Spread":
        """The same in another unit."""
        return Spread(self.middle * factor, self.least * factor, self.greatest * factor)

    def __format__(self, spec: str) -> str:
        return f"{self.middle:{spec}} ({self.least:{spec}}–{self.greatest:{spec}})"


def spread(values: dict[str, float]) -> Spread:
    """A spread as it stands in a document."""
    return Spread(**values)


def ratios(mine: Sequence[float], theirs: Sequence[float]) -> Spread:
    """What each turn of one took, to the turn of the other beside it."""
    return Spread.of([own / other for own, other in zip(mine, theirs, strict=True)])


def pick_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def clock(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def by_turns(ways: dict[str, Callable[[], Any]], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each way, one after the other `repeats` times, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, work in ways.items():
            started = clock(device)
            work()
            if turn:
                seconds[name].append(clock(device) - started)
    return seconds


def matmul_ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, the best of ten."""
    side = 8192 if device.type == "cuda" else 512
    first, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(11):
        started = clock(device)
        first @ other
        best = min(best, clock(device) - started)
    return 2 * side**3 / best


def floor_line(document: dict[str, Any]) -> str:
    """What the floor of a result is, in a sentence."""
    rate = document["matmul_per_second"] / 1e12
    return f"Floor: counted operations at {rate:.2f} TFLOP/s ({document['dtype']}), the rate of a large matrix product."


def read_speed(device: torch.device) -> float:
    """Bytes a second at which memory is read: of the two, a sum and half of a copy's traffic, the faster; best of ten.

    A copy moves each byte twice, and on a CPU three times, as what is written is read first; a sum only reads.
    """
    size = 2**31 if device.type == "cuda" else 2**29
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(10):
        for traffic, work in ((size, source.sum), (2 * size, lambda: target.copy_(source))):
            started = clock(device)
            work()
            best = max(best, traffic / (clock(device) - started))
    return best


def count_operations(work: Callable[[], Any]) -> float:
    """Operations of all matrix products, convolutions and attentions of `work`, counted while it runs."""
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

    def on_cpu(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
        return int(sdpa_flop_count(query, key, value))

    own = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: on_cpu}
    with torch.inference_mode(), FlopCounterMode(display=False, custom_mapping=own) as counter:
        work()
    return float(counter.get_total_flops())


def profile(work: Callable[[], Any], device: torch.device, most: int = 8) -> list[dict[str, Any]]:
    """The operators that take the most time of `work`, by torch's profiler: name, share of all, calls, milliseconds.

    Time is that of the operator itself, without those it calls; on a GPU that of its kernels.
    """
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    work()
    with record(activities=activities) as result:
        work()
        clock(device)
    name = "self_device_time_total" if gpu else "self_cpu_time_total"
    events = sorted(result.key_averages(), key=lambda event: -float(getattr(event, name)))
    total = sum(float(getattr(event, name)) for event in events) or 1.0
    return [
        {"operator": event.key[:60], "share": float(getattr(event, name)) / total, "calls": event.count,
         "ms": float(getattr(event, name)) / 1e3}
        for event in events[:most]
    ]  # fmt: skip


def profile_table(rows: Sequence[dict[str, Any]]) -> str:
    """A profile as Markdown."""
    lines = ["| operator | share | calls | ms |", "|---|---|---|---|"]
    return "\n".join(
        lines + [f"| `{row['operator']}` | {row['share']:.0%} | {row['calls']} | {row['ms']:.1f} |" for row in rows]
    )


@contextmanager
def peak(device: torch.device) -> Iterator[Callable[[], float]]:
    """The most gigabytes in use inside: of the device, or of this process, which is looked at every 2 ms."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        yield lambda: torch.cuda.max_memory_allocated() / GB
        return
    most, done, page = [0], threading.Event(), resource.getpagesize()

    def look() -> None:
        while not done.is_set():
            most[0] = max(most[0], int(Path("/proc/self/statm").read_text().split()[1]) * page)
            time.sleep(0.002)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield lambda: most[0] / GB
    finally:
        done.set()
        watcher.join()


def circumstances(device: torch.device, dtype: torch.dtype | None = None) -> dict[str, Any]:
    """Where, when, with what and by which command something was measured."""
    gpu = device.type == "cuda"
    return {
        "script": Path(sys.argv[0]).stem,
        "command": " ".join(["python", "benchmarks/" + Path(sys.argv[0]).name, *map(shlex.quote, without_out())]),
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name() if gpu else processor(),
        "dtype": str(dtype).removeprefix("torch.") if dtype else None,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: installed(name) for name in PACKAGES},
    }


def without_out() -> list[str]:
    """The arguments of this script but for the place of the result, which says nothing."""
    given = sys.argv[1:]
    place = given.index("--out") if "--out" in given else len(given)
    return given[:place] + given[place + 2 :]


def processor() -> str:
    """The model of the CPU, and whether it multiplies matrices of bfloat16 in hardware."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    named = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    name = named[0] if named else platform.processor() or platform.machine()
    return name + (" with AMX" if "amx_bf16" in text else "")


def installed(package: str) -> str | None:
    """The version of a package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(document: dict[str, Any], out: Path) -> None:
    """Keep a result as JSON, and as a plot beside it where matplotlib is installed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(document, indent=1) + "\n")
    try:
        import speed_plots
    except ImportError as error:
        print(f"no plot: {error}; python benchmarks/speed_plots.py draws it from {out.name}", file=sys.stderr)
        return
    speed_plots.draw(document, out.with_suffix(".png"))
