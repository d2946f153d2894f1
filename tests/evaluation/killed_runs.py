"""Runs that are killed, in processes split off one that has all libraries loaded; prints what was left as JSON.

Usage: python -m tests.evaluation.killed_runs DATA MODEL STORE FOLDER RUNS SEED: a run that nobody disturbs, then RUNS
that are killed at random moments again and again until one gets through.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

from tqdm.std import tqdm

from camml.evaluation.contexts import Variant
from camml.evaluation.run import Options, run

LIMIT = 300.0  # seconds that a run which nobody disturbs may take


def main(data: str, model: str, store: str, folder: Path, runs: int, dice: random.Random) -> dict[str, object]:
    """Run, kill, run again, compare."""

    def work(out: Path) -> None:
        options = Options(Path(data), out, model, store=store, batch_size=1, max_new_tokens=5, device="cpu")
        run(["mme"], [Variant("retrieved", 1)], options)

    # Bars take turns by a semaphore that all processes share: one killed while it draws would stop the others for ever.
    tqdm.set_lock(threading.RLock())
    tqdm.monitor_interval = 0  # no thread that could hold that lock when the process is split

    work(folder / "whole")  # loads every library before the first split
    started = time.perf_counter()
    split(work, folder / "once", LIMIT)
    usual, kills = time.perf_counter() - started, 0
    for number in range(runs):
        pause, patience = dice.uniform(0.1, 0.8) * usual, 1.0
        while split(work, folder / str(number), pause):
            kills += 1
            patience *= 1.2  # a machine that became busy takes longer to begin than it is given, time and again
            pause = dice.uniform(0.3, 1.5) * usual * patience
    different = [name for name in ("once", *map(str, range(runs))) if files(folder / name) != files(folder / "whole")]
    return {"kills": kills, "different": different, "files": sorted(files(folder / "whole"))}


def split(work, out: Path, pause: float) -> bool:
    """Work in a child process; whether it had to be killed after `pause` seconds."""
    child = os.fork()
    if not child:
        try:
            work(out)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + pause
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert not status, f"a run ended with status {status}"
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def files(out: Path) -> dict[str, bytes]:
    """What people read of a run; not the seconds it took, nor temporary files of killed writers."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != "measures.json")
    result = (path for path in files if ".unfinished" not in path.name)
    return {str(path.relative_to(out)): path.read_bytes() for path in result}


if __name__ == "__main__":
    data, model, store, folder, runs, seed = sys.argv[1:]
    print(json.dumps(main(data, model, store, Path(folder), int(runs), random.Random(seed))))
