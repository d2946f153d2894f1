"""`manifest.json`: the one file that says what a datastore holds. Replacing it is what commits a change."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from camml.datastore.files import REMEDY, FileRecord, write_file
from camml.datastore.readers import name_of
from camml.durable import UNFINISHED, sync_folder
from camml.encoders import Encoder
from camml.errors import EncoderMismatchError, StoreCorruptedError, StoreError, StoreNotFoundError
from camml.json_values import digest

NAME = "manifest.json"
FORMAT = "camml-datastore"
VERSION = 3
MODALITIES = ("image", "text")
MOST_HOMES = 16
DATA_FILE = re.compile(r"\d{6,}-(samples|image|text|removed|image-fast|text-fast)(-\d+)?\.[a-z]+")
"""How data files are called: the generation that wrote them, what they hold, and which of several they are."""


@dataclass(frozen=True, slots=True)
class EncoderRecord:
    """The encoder that made the vectors, and the options to load it again."""

    name: str
    revision: str
    image_dim: int
    text_dim: int
    joint: bool
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, encoder: Encoder, options: Mapping[str, Any] | None = None) -> "EncoderRecord":
        """Make the record of `encoder`, loaded with `options`."""
        dims = encoder.image_dim, encoder.text_dim
        return cls(encoder.name, encoder.revision, *dims, encoder.joint, dict(options or {}))

    def dim(self, modality: str) -> int:
        """Return D of the vectors of `modality`."""
        return self.image_dim if modality == "image" else self.text_dim

    def check(self, encoder: Encoder, path: Path) -> None:
        """Raise if `encoder` is not the one recorded.

        Raises:
          EncoderMismatchError: it is another; the message names both.
        """
        if (encoder.name, encoder.revision) != (self.name, self.revision):
            raise EncoderMismatchError(
                f"{path} was built with encoder {self.name!r} (revision {self.revision}), not with {encoder.name!r} "
                f"(revision {encoder.revision}), and their vectors do not compare; open it with the former, or build "
                f"it again: `camml store export samples.parquet --store {path}`, "
                "`camml store build samples.parquet --out NEW`"
            )


@dataclass(frozen=True, slots=True)
class Segment:
    """Samples that were added together, and their vectors; the keys in the files ascend from segment to segment.

    A datastore whose vectors are served from elsewhere has files of samples only.
    """

    count: int
    samples: FileRecord
    image: FileRecord | None
    text: FileRecord | None

    @property
    def files(self) -> list[FileRecord]:
        """All its files."""
        return [file for file in (self.samples, self.image, self.text) if file]


@dataclass(frozen=True, slots=True)
class FastIndex:
    """A compressed index beside the vectors, made by `camml store index`.

    Attributes:
      kind: its FAISS factory string.
      file: where it is.
      below: it holds the vectors whose keys are smaller; later ones are searched one by one.
      count: how many vectors it was given, of which `trained` were seen in training.
      settings: what a search uses: `nprobe` or `ef`, and `depth`, the candidates that are compared exactly.
      measured: `recall` at `k` on `queries` held out, the `target`, `ms` a query, `bytes` in memory, `seconds` it took.
    """

    kind: str
    file: FileRecord
    below: int
    count: int
    trained: int
    settings: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The state of a datastore after one change.

    Attributes:
      generation: counts the changes.
      next_key: larger than all keys that were ever given.
      images: the folder that image paths are relative to, absolute or seen from the datastore.
      homes: where the datastore was, without links, when it was changed, newest first; only where it copies no images.
      copies: images are copied into the datastore.
      removed: keys of samples that are still in the segments and no longer in the datastore; and
      removed_files: files of more such keys.
      location, collection: where a served vector store is and what its collections are called; a relative path starts
        at the datastore.
      fast: the compressed index of a modality.
      counts: living samples, and those of them that have an image vector and a text vector.
    """

    encoder: EncoderRecord
    images: str
    copies: bool = False
    store: str = "faiss_index"
    metric: str = "inner_product"
    generation: int = 0
    next_key: int = 0
    segments: tuple[Segment, ...] = ()
    removed: tuple[int, ...] = ()
    removed_files: tuple[FileRecord, ...] = ()
    location: str = ""
    collection: str = ""
    fast: Mapping[str, FastIndex] = field(default_factory=dict)
    homes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=lambda: {"samples": 0, "image": 0, "text": 0})

    def following(self, **changes: Any) -> "Manifest":
        """Return the manifest of the next generation."""
        return replace(self, generation=self.generation + 1, **changes)

    @property
    def files(self) -> list[FileRecord]:
        """All data files."""
        of_segments = [file for segment in self.segments for file in segment.files]
        return [*of_segments, *self.removed_files, *(fast.file for fast in self.fast.values())]


def write(folder: Path, manifest: Manifest) -> None:
    """Commit: from here on, who opens `folder` sees `manifest`."""
    if not manifest.copies:
        here = os.path.realpath(folder)
        homes = (here, *(earlier for earlier in manifest.homes if earlier != here))
        manifest = replace(manifest, homes=homes[:MOST_HOMES])
    content = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    content["checksum"] = digest(content)
    data = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")  # odd file names
    if manifest.copies:
        write_file(folder, name_of(manifest.generation), Path.touch)
    sync_folder(folder)  # what the manifest names must be there before it is
    write_file(folder, NAME, lambda path: path.write_bytes(data))
    sync_folder(folder)


def read(folder: Path) -> Manifest:
    """Read the manifest of the datastore in `folder`.

    Raises:
      StoreNotFoundError: there is none.
      StoreCorruptedError: it is not as it was written.
      StoreError: it cannot be read.

    Example:
      >>> from camml import Datastore, Sample, encoders
      >>> store = Datastore.build("store", [Sample("pump-7", "The pump needs seal 4711.")], encoders.load("hashed"))
      >>> read(Path("store")).encoder.name
      'hashed'
    """
    path = folder / NAME
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        message = f"no datastore at {folder} (it has no {NAME}); build one with `camml store build`"
        raise StoreNotFoundError(message) from error
    except (OSError, ValueError) as error:  # no permission, links in a circle, a name that cannot be one
        why = error.strerror if isinstance(error, OSError) else error
        raise StoreError(f"cannot read {path}: {why}; give a folder that you may read") from error
    try:
        content = json.loads(raw)
        if content.get("format") != FORMAT and "checksum" not in content:
            raise StoreError(f"{path} is the manifest of something else; give the folder of a datastore")
        checksum = content.pop("checksum")
        intact = checksum == digest(content)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise StoreCorruptedError(f"{path} is corrupted: it is not a manifest; {REMEDY}") from error
    if not intact:
        raise StoreCorruptedError(f"{path} is corrupted: its checksum is not the one written; {REMEDY}")
    if content.pop("format") != FORMAT or content.pop("version") > VERSION:
        raise StoreError(f"{path} was written by a later version of camml; install that one to open it")
    return _parse(content)


def unreferenced(folder: Path, manifest: Manifest | None) -> list[Path]:
    """List the files that interrupted and earlier writers left: written by a datastore, unknown to `manifest`."""
    known = {file.name for file in manifest.files} if manifest else set()
    return [
        path
        for path in folder.iterdir()
        if path.name not in known and (DATA_FILE.fullmatch(path.name) or path.name.endswith(UNFINISHED))
    ]


def _parse(content: dict[str, Any]) -> Manifest:
    def segment(entry: dict[str, Any]) -> Segment:
        files = {name: FileRecord(**entry[name]) if entry[name] else None for name in ("samples", *MODALITIES)}
        assert files["samples"] is not None
        return Segment(entry["count"], files["samples"], files["image"], files["text"])

    def fast(entry: dict[str, Any]) -> FastIndex:
        return FastIndex(**entry | {"file": FileRecord(**entry["file"])})

    content["encoder"] = EncoderRecord(**content["encoder"])
    content["segments"] = tuple(map(segment, content["segments"]))
    content["removed"] = tuple(content["removed"])
    content["homes"] = tuple(content.get("homes", ()))
    content["removed_files"] = tuple(FileRecord(**entry) for entry in content.get("removed_files", ()))
    content["fast"] = {name: fast(entry) for name, entry in content.get("fast", {}).items()}
    return Manifest(**content)
