"""A second process for the stateful test: it changes a datastore in children that may be killed, or looks at one.

One JSON command a line on standard input, one JSON answer a line on standard output.
"""

import hashlib
import json
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from camml.datastore import Datastore
from camml.errors import StoreLockedError
from camml.types import Sample
from tests.kill_writer import BATCH, Digests, die_before

REFUSED = 3
"""How a child ends whose change was refused."""


def sample_of(entry: dict[str, Any]) -> Sample:
    """The sample that an entry of a command means; a relative path starts at the working directory."""
    return Sample(entry["id"], entry["text"], entry["image"] and Path(entry["image"]), entry["meta"])


def content(store: Datastore) -> list[list[str | None]]:
    """All that a datastore shows: id, text, metadata, and the checksum of the picture or why there is none."""
    return [
        [sample.id, sample.text, json.dumps(dict(sample.meta), sort_keys=True), checksum(sample.image)]
        for sample in store
    ]


def checksum(path: Path | None) -> str | None:
    """The SHA-256 of a file, or what went wrong."""
    try:
        return path and hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return str(error)


def change(action: str, store: str, samples: list[dict[str, Any]], ids: list[str], **options: Any) -> None:
    """Build, add or remove."""
    if action == "build":
        Datastore.build(store, map(sample_of, samples), Digests(), batch_size=BATCH, **options)
    elif action == "add":
        Datastore.open(store, Digests()).add(map(sample_of, samples), batch_size=BATCH)
    else:
        Datastore.open(store).remove(ids)


def in_a_child(cwd: str, die_at: int, folder: str, **what: Any) -> int:
    """How a child ended that made a change."""
    if child := os.fork():
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        os.chdir(cwd)
        if die_at:
            die_before(die_at, folder)
        change(**what)
        status = 0
    except StoreLockedError:
        status = REFUSED
    finally:
        os._exit(status)


def main() -> None:
    """Answer commands until standard input ends."""
    for name in ("faiss", "numpy.ma", "numpy.random", "PIL.ImageOps", "pyarrow.compute", "camml.stores.faiss_index"):
        import_module(name)
    with suppress(ImportError):
        import_module("pandas")  # where it is installed, pyarrow imports it when it first makes a table
    Image.init()
    view: Datastore | None = None
    for line in sys.stdin:
        command = json.loads(line)
        match command.pop("do"):
            case "change":
                answer: Any = in_a_child(**command)
            case "open":
                os.chdir(command["cwd"])
                view = Datastore.open(command["store"])
                os.chdir("/")  # what it opened stays what it is
                answer = content(view)
            case "look":
                answer = content(view) if view else []
            case "reload":
                assert view is not None
                view.reload()
                answer = content(view)
            case _:
                view = None
                os.chdir("/")
                answer = []
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
