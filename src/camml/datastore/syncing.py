"""A datastore brought up to date with a folder of pictures and PDF files."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from camml.datastore.store import Datastore
from camml.errors import ImageError, SampleError
from camml.formats import folder as folders
from camml.images import check_header
from camml.types import Sample


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes that bring a datastore in line with its source.

    Attributes:
      added: samples that are new.
      changed: samples whose text, fields or file are others than before.
      gone: ids whose file is no longer there.
      unchanged: how many stay.
    """

    added: list[Sample] = field(default_factory=list)
    changed: list[Sample] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0


def plan(
    datastore: Datastore, folder: Path, images: Path | None, on_bad: Callable[[SampleError], None], moved: str = ""
) -> Plan:
    """Return what makes the datastore hold what the folder holds; samples of other folders and files stay.

    What belongs to a file that cannot be read stays, too.

    Args:
      images: where pictures of pages are written; None for beside the folder.
      on_bad: called with what is wrong with a file.
      moved: the `meta["origin"]["folder"]` that the folder's samples have, if it was moved.

    Raises:
      SampleError: there is no such folder, it is empty, or an id of it belongs to another sample.
    """
    if not folder.is_dir():
        raise SampleError(f"{folder}: no such folder; check the path")
    ours = {folders.origin_of(folder), moved}
    there = {sample.id: sample for sample in datastore}
    added, changed, seen, unread = list[Sample](), list[Sample](), set[str](), set[str]()
    for name, sample in folders.read(folder, images):
        if isinstance(sample, SampleError):
            on_bad(sample)
            unread.add(name)
            continue
        seen.add(sample.id)
        old = there.get(sample.id)
        if old is None:
            added.append(sample)
        elif _origin(old) not in ours:
            raise SampleError(
                f"{folder}: the id {sample.id!r} is that of a sample which did not come from this folder; if the "
                f"folder was moved, say so with --moved-from '{_origin(old) or 'NAME'}', else use another datastore"
            )
        elif (old.text, dict(old.meta)) != (sample.text, dict(sample.meta)):
            changed.append(sample)
    gone = [
        name
        for name, sample in there.items()
        if name not in seen and _origin(sample) in ours and not _below(str(sample.meta.get("file")), unread)
    ]
    return Plan(added, changed, gone, len(seen) - len(added) - len(changed))


def unusable(samples: Iterable[Sample]) -> Iterator[tuple[Sample, ImageError]]:
    """Yield those samples of which the beginning of the picture tells that it cannot be used, and why."""
    for sample in samples:
        try:
            if sample.image:
                check_header(sample.image)
        except ImageError as error:
            yield sample, ImageError(f"sample {sample.id!r}: {error}")


def _origin(sample: Sample) -> str | None:
    origin = sample.meta.get("origin")
    name = origin.get("folder") if isinstance(origin, dict) else None
    return name if isinstance(name, str) and name else None


def _below(file: str, unread: set[str]) -> bool:
    """Return whether a file is one that could not be read, or in such a folder."""
    parts = file.split("/")
    return any("/".join(parts[:count]) in unread for count in range(len(parts) + 1))
