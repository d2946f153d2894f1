"""Random operations on a datastore, by two processes, with kills and moves, checked against a model in memory."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from PIL import Image

from camml.datastore import Datastore, verify
from camml.datastore.files import only_writer
from camml.errors import StoreNotFoundError
from tests.datastore.helper_process import REFUSED, content
from tests.kill_writer import Digests

SCRIPT = Path(__file__).with_name("helper_process.py")
NAMES = [
    "plain",
    "a space",
    "ünïcödé 図",
    "#1",
    "100%25",
    "new\nline",
    "$HOME",
    "~",
    "-r",
    "'\"`",
    "a\\b",
    ".hidden",
    "a:b",
]
STEPS = 60
"""A change makes between 5 and 60 operations on files."""
counted: Counter[str] = Counter()


class Helper:
    """A process that answers commands."""

    def __init__(self) -> None:
        paths = [str(SCRIPT.parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )

    def ask(self, do: str, **command: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"do": do, **command}), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


helpers: list[Helper] = []
"""A writer and a reader, started when first needed; they serve all runs."""


@pytest.fixture(scope="module", autouse=True)
def _helpers_end() -> Any:
    before = os.getcwd()
    yield
    os.chdir(before)
    while helpers:
        helpers.pop().end()


class Operations(RuleBasedStateMachine):
    """The datastore in `home/store`; `model` is what it must hold.

    Attributes:
      home: the folder that the datastore and the pictures beside it are in.
      far: a folder of pictures that never moves.
      noted: it was changed where it is now.
      seen: what the reader has open, None for nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        while len(helpers) < 2:
            helpers.append(Helper())
        self.writer, self.reader = helpers
        self.world = Path(os.path.realpath(tempfile.mkdtemp()))
        self.far = self.world / "far # pictures"
        self.home = self.world / "home"
        self.store = "store"
        self.model: dict[str, list[str | None]] = {}
        self.seen: list[list[str | None]] | None = None
        self.copies = self.built = self.noted = False
        self.number = self.turn = 0

    @initialize(copies=st.booleans(), home=st.sampled_from(NAMES), store=st.sampled_from(NAMES))
    def begin(self, copies: bool, home: str, store: str) -> None:
        self.copies, self.home, self.store = copies, self.world / f"h {home}", store
        for folder in (self.home, self.far, self.world / "elsewhere" / "deep"):
            folder.mkdir(parents=True)

    def teardown(self) -> None:
        self.reader.ask("close")
        os.chdir("/")
        shutil.rmtree(self.world)

    @property
    def place(self) -> Path:
        return self.home / self.store

    def spelled(self, how: int) -> tuple[str, str]:
        """A working directory, and a way to write where the datastore is as seen from there."""
        links = self.world / "links"
        links.mkdir(exist_ok=True)
        for name, target in (("to store", self.place), ("to home", self.home)):
            (links / name).unlink(missing_ok=True)
            (links / name).symlink_to(os.path.relpath(target, links) if how % 2 else target)
        ways = [
            (self.world, str(self.place)),
            (self.home, f"./{self.store}"),
            (self.world, os.path.relpath(self.place, self.world)),
            (self.world / "elsewhere" / "deep", os.path.relpath(self.place, self.world / "elsewhere" / "deep")),
            (links, "to store"),
            (Path("/"), str(links / "to store")),
            (links, f"to home/{self.store}"),
            (links, f"to home/../{self.home.name}/{self.store}"),
            (self.far, str(links / "to home" / self.store)),
        ]
        cwd, path = ways[how % len(ways)]
        return str(cwd), path

    def drawn(self, cwd: str, names: list[str], where: str, few: bool) -> list[dict[str, Any]]:
        """New samples; their pictures are beside the datastore, far away, or in it."""
        entries = []
        for name in names:
            self.number += 1
            image = None
            if where != "none":
                folder = {"home": self.home / "pictures", "far": self.far, "inside": self.place / "own"}[where]
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"{self.number} {name}.png"
                color = (1, 2, 3) if few else (self.number % 256, self.number // 256, 7)
                Image.new("RGB", (2, 2), color).save(path)
                image = str(path) if self.number % 2 else os.path.relpath(path, os.path.realpath(cwd))
            text, meta = f"text {self.number} {name}", {"name": name, "n": self.number}
            ident = "".join(character for character in name if character.isprintable() and character not in "\\/")
            entries.append({"id": f"{ident}{self.number}", "text": text, "image": image, "meta": meta})
        return entries

    def expected(self, cwd: str, entries: list[dict[str, Any]]) -> dict[str, list[str | None]]:
        def digest(image: str | None) -> str | None:
            return image and hashlib.sha256(Path(cwd, image).read_bytes()).hexdigest()

        return {
            entry["id"]: [
                entry["id"], entry["text"], json.dumps(entry["meta"], sort_keys=True), digest(entry["image"])
            ]
            for entry in entries
        }  # fmt: skip

    def change(self, after: dict[str, list[str | None]], cwd: str, die_at: int, **what: Any) -> None:
        """Make a change, which may be killed: the model is then the state before or the state after."""
        status = self.writer.ask("change", cwd=cwd, die_at=die_at, folder=str(self.place), **what)
        counted["kills"] += status == signal.SIGKILL
        assert status in (0, signal.SIGKILL), "the change was refused"
        if status == 0:
            self.model, self.built, self.noted = after, True, True
            if self.copies and self.seen is None:
                kept = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.place / "images").iterdir()}
                assert kept == {row[3] for row in after.values() if row[3]}, "pictures are left that no sample has"
            return
        there = self.read()
        if there is not None:
            assert there in (list(self.model.values()), list(after.values()))
            if not self.built or there == list(after.values()):
                self.model, self.built, self.noted = after, True, True
        else:
            assert not self.built

    def read(self) -> list[list[str | None]] | None:
        try:
            return content(Datastore.open(self.place))
        except StoreNotFoundError:
            return None

    names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)
    pictures = st.sampled_from(["home", "home", "far", "inside", "none"])
    deaths = st.one_of(st.just(0), st.integers(1, STEPS), st.integers(1, STEPS))

    @precondition(lambda self: not self.built)
    @rule(names=names, where=st.sampled_from(["home", "far", "none"]), how=st.integers(0, 17), die_at=deaths)
    def build(self, names: list[str], where: str, how: int, die_at: int) -> None:
        counted["operations"] += 1
        cwd, path = self.spelled(how)
        if "to store" in path:  # a link to nothing is no place
            self.place.mkdir(exist_ok=True)
        entries = self.drawn(cwd, names, where, few=False)
        after = self.expected(cwd, entries)
        self.change(after, cwd, die_at, action="build", store=path, samples=entries, ids=[], copy_images=self.copies)

    @precondition(lambda self: self.built)
    @rule(names=names, where=pictures, few=st.booleans(), how=st.integers(0, 17), die_at=deaths)
    def add(self, names: list[str], where: str, few: bool, how: int, die_at: int) -> None:
        counted["operations"] += 1
        cwd, path = self.spelled(how)
        entries = self.drawn(cwd, names, where, few)
        after = self.model | self.expected(cwd, entries)
        self.change(after, cwd, die_at, action="add", store=path, samples=entries, ids=[])
        if self.copies:
            for entry in entries if self.model == after else ():
                if entry["image"]:
                    Path(cwd, entry["image"]).unlink()  # nobody needs it any more

    @precondition(lambda self: self.model)
    @rule(which=st.lists(st.integers(0, 99), min_size=1, max_size=4), how=st.integers(0, 17), die_at=deaths)
    def remove(self, which: list[int], how: int, die_at: int) -> None:
        counted["operations"] += 1
        cwd, path = self.spelled(how)
        ids = sorted({list(self.model)[number % len(self.model)] for number in which})
        after = {name: row for name, row in self.model.items() if name not in ids}
        self.change(after, cwd, die_at, action="remove", store=path, samples=[], ids=ids)

    @precondition(lambda self: self.built)
    @rule(how=st.integers(0, 17))
    def a_second_writer_is_refused(self, how: int) -> None:
        counted["operations"] += 1
        cwd, path = self.spelled(how)
        with only_writer(self.place):
            what = {"action": "remove", "store": path, "samples": [], "ids": list(self.model)[:1]}
            status = self.writer.ask("change", cwd=cwd, die_at=0, folder="", **what)
        assert os.waitstatus_to_exitcode(status) == REFUSED

    @precondition(lambda self: self.built)
    @rule(how=st.integers(0, 17))
    def the_reader_opens(self, how: int) -> None:
        counted["operations"] += 1
        cwd, path = self.spelled(how)
        self.seen = self.reader.ask("open", cwd=cwd, store=path)
        assert self.seen == list(self.model.values())

    @precondition(lambda self: self.seen is not None)
    @rule()
    def the_reader_reloads(self) -> None:
        counted["operations"] += 1
        self.seen = self.reader.ask("reload")
        assert self.seen == list(self.model.values())

    @precondition(lambda self: self.built)
    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(["alone", "together", "copied"]))
    def move(self, name: str, kind: str) -> None:
        """Move the datastore alone, together with the pictures beside it, or copy both and forget the old ones."""
        counted["operations"] += 1
        self.reader.ask("close")  # to whom nothing is promised
        self.seen = None
        self.number += 1
        new, before = self.world / f"{self.number} {name}", self.home
        if kind == "alone" and not self.noted:
            kind = "together"  # where the pictures are that stay behind, nobody has written down
        if kind == "alone":
            new.mkdir()
            self.place.rename(new / name)
            self.store = name
        elif kind == "together":
            before.rename(new)
        else:
            shutil.copytree(before, new, copy_function=shutil.copyfile)
            shutil.rmtree(before)
        self.home, self.noted = new, False

    @precondition(lambda self: self.built)
    @rule()
    def begin_anew(self) -> None:
        counted["operations"] += 1
        self.reader.ask("close")
        self.seen = None
        shutil.rmtree(self.place)
        self.model, self.built = {}, False

    @invariant()
    def the_reader_sees_what_it_opened(self) -> None:
        if self.seen is not None:
            assert self.reader.ask("look") == self.seen

    @invariant()
    def all_is_there(self) -> None:
        if not self.built:
            return
        self.turn += 1
        cwd, path = self.spelled(self.turn)
        os.chdir(cwd)
        store = Datastore.open(path)
        os.chdir("/")
        assert content(store) == list(self.model.values())
        assert store.manifest.counts["samples"] == store.count("text") == len(self.model)
        assert store.count("image") == sum(row[3] is not None for row in self.model.values())
        assert verify(self.place) == []
        for name, (_, text, _, _) in list(self.model.items())[:: max(1, len(self.model) // 2)]:
            vector = Digests().embed_texts([text or ""])
            assert store.vectors([name], "text")[name].tolist() == vector[0].tolist()
            assert [hit.sample.id for hit in store.search(vector, "text", 1)[0]] == [name]


def run(examples: int, steps: int) -> None:
    counted.clear()
    run_state_machine_as_test(
        Operations,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.long
def test_some_operations() -> None:
    run(examples=10, steps=12)
    assert counted["operations"] >= 80
    assert counted["kills"] >= 5


@pytest.mark.slow
def test_500_operations_with_100_kills() -> None:
    run(examples=26, steps=40)
    assert counted["operations"] >= 500
    assert counted["kills"] >= 100
