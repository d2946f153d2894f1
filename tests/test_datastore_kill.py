"""`kill -9` at any moment of build, add and remove leaves the state before or the state after."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from camml.datastore import Datastore, verify
from camml.errors import StoreNotFoundError
from tests.kill_writer import BATCH, GROUP, Digests, group

KILLS = 60
SCRIPT = Path(__file__).with_name("kill_writer.py")


class Writer:
    """A process that changes datastores in children of its own, and tells how long they took."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT, "write"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.seconds: dict[str, float] = {}

    def run(self, job: dict[str, Any], kill_after: float | None = None) -> bool:
        """Do a job, killing it after so many seconds; whether it came to its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(job), file=self.process.stdin, flush=True)
        child = int(self.process.stdout.readline())
        started = time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        status = int(self.process.stdout.readline())
        if status == 0 and kill_after is None:
            self.seconds[job["action"]] = time.perf_counter() - started
        assert status in (0, signal.SIGKILL), f"{job['action']} failed with status {status}"
        return status == 0


@pytest.fixture(scope="module")
def writer() -> Iterator[Writer]:
    writer = Writer()
    yield writer
    assert writer.process.stdin is not None
    writer.process.stdin.close()
    assert writer.process.wait(120) == 0


def groups_in(store: Path) -> set[int]:
    """The groups that a datastore holds, after a look at every sample, vector, picture and checksum."""
    try:
        datastore = Datastore.open(store, Digests())
    except StoreNotFoundError:
        return set()
    assert verify(store) == []
    sizes = Counter(sample.meta["group"] for sample in datastore)
    assert set(sizes.values()) <= {GROUP}
    for number in sizes:
        for sample in group(number, store.parent / "pictures"):
            stored = datastore[sample.id]
            assert (stored.text, stored.image is None) == (sample.text, sample.image is None)
            assert (
                datastore.vectors([sample.id], "text")[sample.id].tolist()
                == Digests().embed_texts([sample.text])[0].tolist()
            )
    assert datastore.manifest.counts == {
        "samples": GROUP * len(sizes),
        "text": GROUP * len(sizes),
        "image": GROUP // 2 * len(sizes),
    }
    assert len(datastore) == GROUP * len(sizes)
    return set(sizes)


def after(before: set[int], action: str, groups: list[int]) -> set[int]:
    return before - set(groups) if action == "remove" else before | set(groups)


def job(store: Path, action: str, groups: list[int], **more: Any) -> dict[str, Any]:
    for number in groups:
        group(number, store.parent / "pictures")  # draws them
    return {"store": str(store), "action": action, "groups": groups, "pictures": str(store.parent / "pictures"), **more}


@pytest.mark.long
def test_killed_at_random_while_two_readers_look_on(tmp_path: Path, writer: Writer) -> None:
    dice, store, kills, landed = random.Random(2), tmp_path / "store", 0, Counter[str]()
    writer.run(job(store, "build", [0]))
    readers = [
        subprocess.Popen(
            [sys.executable, SCRIPT, "read", str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    there, new = {0}, 1
    for action in ("add", "remove"):  # to know how long they take
        writer.run(job(store, action, [new]))
    while kills < KILLS:
        action = dice.choice(("build", "add", "add", "remove")) if there else "add"
        target, before = (tmp_path / f"built{new}", set[int]()) if action == "build" else (store, there)
        if action == "remove":
            groups = dice.sample(sorted(there), dice.randint(1, len(there)))
        else:
            new, groups = new + 3, [new, new + 1, new + 2]
        finished = writer.run(job(target, action, groups), kill_after=dice.uniform(0, writer.seconds[action]))
        kills += not finished
        now = groups_in(target)
        assert now in (before, after(before, action, groups))
        landed["after" if now != before else "before"] += not finished
        if now == before:
            assert writer.run(job(target, action, groups))  # the next writer is not hindered
            now = groups_in(target)
        assert now == after(before, action, groups)
        there = now if target == store else there
    assert landed["before"] > 0
    for reader in readers:
        seen = json.loads(reader.communicate(timeout=120)[0])
        assert reader.returncode == 0
        assert seen["searched"] > 0
        assert sum(name.startswith("generation") for name in seen) > 5


@pytest.mark.long
@pytest.mark.parametrize("action", ["build", "add", "remove"])
def test_killed_before_every_single_operation_on_files(tmp_path: Path, writer: Writer, action: str) -> None:
    start, groups = ([], [1]) if action == "build" else ([1, 2, 3], [4] if action == "add" else [2, 3])
    steps, states, original = 0, set[bool](), tmp_path / "original"
    if start:
        writer.run(job(original, "build", start))
    while True:
        steps += 1
        store = tmp_path / f"store{steps}"
        if start:
            shutil.copytree(original, store)
        finished = writer.run(job(store, action, groups, die_at=steps))
        now = groups_in(store)
        assert now in (set(start), after(set(start), action, groups))
        states.add(now == set(start))
        if finished:
            break
        if now == set(start):
            assert writer.run(job(store, action, groups))
        assert groups_in(store) == after(set(start), action, groups)
    assert steps > 10
    assert states == {True, False}


@pytest.mark.long
def test_a_killed_build_embeds_at_most_one_chunk_again(tmp_path: Path, writer: Writer) -> None:
    dice, groups = random.Random(3), list(range(6))
    writer.run(job(tmp_path / "whole", "build", groups))
    for round_ in range(5):
        store, log, kills = tmp_path / f"store{round_}", tmp_path / f"log{round_}", 0
        build = job(store, "build", groups, log=str(log))
        while not groups_in(store) and kills < 10:  # the last kill may come when all is done
            kills += not writer.run(build, kill_after=dice.uniform(0, writer.seconds["build"]))
        if not groups_in(store):
            writer.run(build)
        assert groups_in(store) == set(groups)
        times = Counter(log.read_text().splitlines())
        assert len(times) == GROUP * len(groups)
        assert sum(times.values()) <= len(times) + BATCH * kills
