"""Processes for the kill test: a writer that can be started at once and killed, and a reader that never stops looking.

kill_writer.py write            one JSON job a line on standard input; prints the process of each, then how it ended
kill_writer.py read STORE       opens and searches until standard input ends; prints what it saw
"""

import hashlib
import json
import os
import select
import signal
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from camml.datastore import Datastore
from camml.encoders import Vectors
from camml.errors import StoreNotFoundError
from camml.types import Sample

GROUP = 4
"""Samples that are added and removed together: a reader must see all of a group, or none."""
BATCH = 4
WATCHED = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.copyfile")


class Digests:
    """Texts and images to unit vectors drawn by their checksum; what it embeds is noted in a file."""

    name = "digests"
    revision = "1"
    image_dim, text_dim, joint = 8, 8, False

    def __init__(self, log: Path | None = None) -> None:
        self.log = log

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        if self.log:
            with self.log.open("a") as file:
                file.write("".join(f"{text}\n" for text in texts))
        return self._draw([text.encode() for text in texts])

    def embed_images(self, images: Sequence[Image.Image]) -> Vectors:
        return self._draw([image.tobytes() for image in images])

    def _draw(self, contents: Sequence[bytes]) -> Vectors:
        rows = [np.random.default_rng(zlib.crc32(content)).normal(size=8) for content in contents]
        vectors = np.asarray(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def group(number: int, pictures: Path) -> list[Sample]:
    """The samples of one group; every other one has an image."""
    samples = []
    for place in range(GROUP):
        name = f"{number}-{place}"
        image = pictures / f"{name}.png" if place % 2 else None
        if image and not image.exists():
            pictures.mkdir(exist_ok=True)
            Image.new("RGB", (2, 2), (number % 256, place, number // 256)).save(image)
        samples.append(Sample(name, f"text {name}", image, {"group": number}))
    return samples


def act(store: str, action: str, groups: list[int], pictures: str, log: str | None = None, die_at: int = 0) -> None:
    """One change of the datastore; with `die_at`, the process kills itself before its n-th operation on files there."""
    samples = [row for number in groups for row in group(number, Path(pictures))]
    encoder = Digests(Path(log) if log else None)
    datastore = None if action == "build" else Datastore.open(store, encoder)
    if die_at:
        die_before(die_at, store)
    if datastore is None:
        Datastore.build(store, samples, encoder, batch_size=BATCH, copy_images=True)
    elif action == "add":
        datastore.add(samples, batch_size=BATCH)
    else:
        datastore.remove([sample.id for sample in samples])


def die_before(step: int, folder: str) -> None:
    """Let this process kill itself before its n-th operation on files in `folder`."""
    left = step

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in WATCHED and str(arguments[0]).startswith(folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def write() -> None:
    """Run jobs, each in a process forked from this one, which has all modules loaded and no threads."""
    for name in ("faiss", "numpy.ma", "numpy.random", "PIL.ImageOps", "pyarrow.compute", "camml.stores.faiss_index"):
        import_module(name)
    with suppress(ImportError):
        import_module("pandas")  # where it is installed, pyarrow imports it when it first makes a table
    Image.init()
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            act(**json.loads(line))
            os._exit(0)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


def read(store: str) -> None:
    """Open and search; each group must be whole, and each sample where its vector says."""
    seen: Counter[str] = Counter()
    while not select.select([sys.stdin], [], [], 0.03)[0]:
        try:
            datastore = Datastore.open(store, Digests())
        except StoreNotFoundError:
            continue
        seen["opened"] += 1
        seen[f"generation {datastore.manifest.generation}"] = 1
        sizes = Counter(sample.meta["group"] for sample in datastore)
        assert set(sizes.values()) <= {GROUP}, sizes
        if sizes:
            [[nearest]] = datastore.search(Digests().embed_texts([f"text {max(sizes)}-0"]), "text", 1)
            assert nearest.sample.id == f"{max(sizes)}-0"
            seen["searched"] += 1
    print(json.dumps(seen))


def fingerprint(datastore: Datastore) -> str:
    """A checksum of all that a datastore holds."""
    state = hashlib.sha256()
    for sample in datastore:
        state.update(
            json.dumps(
                [sample.id, sample.text, sample.image and sample.image.read_bytes().hex(), dict(sample.meta)]
            ).encode()
        )
        for modality in ("image", "text"):
            state.update(b"".join(vector.tobytes() for vector in datastore.vectors([sample.id], modality).values()))
    return state.hexdigest()


if __name__ == "__main__":
    write() if sys.argv[1] == "write" else read(sys.argv[2])
