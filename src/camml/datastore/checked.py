"""A record of the files whose checksums were compared, so that each file is read in full only once after a copy.

A note stands beside the files; where their folder is read-only, in the user's cache instead.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from camml import packages
from camml.datastore.files import FileRecord, check_size, compare
from camml.durable import write_file
from camml.errors import DiskError

NOTE = "checked.json"


class Checked:
    """The files of one datastore as they are opened.

    A file is believed to be as it was written if it has the length that its writer recorded, and the time of
    modification that its writer, or the process that last compared its checksum, saw. Any other is read and compared,
    and that is noted; a change that keeps length and time escapes until `verify` reads every byte.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new: dict[str, int] = {}

    def path(self, record: FileRecord) -> Path:
        """Return the path of a file that is as it was written.

        Raises:
          FileNotFoundError: it is gone; a writer may have replaced it.
          StoreCorruptedError: its length or its checksum is another.
        """
        path, modified = check_size(self._folder, record)
        if not self._believed(record, modified):
            compare(path, record)
            self.saw(record, modified)
        return path

    def saw(self, record: FileRecord, modified: int) -> None:
        """Note that a file was compared which was last modified at that time."""
        if not self._believed(record, modified):
            self._new[_key(record)] = modified

    def _believed(self, record: FileRecord, modified: int) -> bool:
        return modified == record.modified or modified == self._noted.get(_key(record))

    def keep(self, records: Iterable[FileRecord]) -> None:
        """Write the note, if there is something new, of those files that the datastore still has."""
        if not self._new:
            return
        noted = {**self._noted, **self._new}
        content = {key: noted[key] for record in records if (key := _key(record)) in noted}
        for path in _notes(self._folder):
            with suppress(DiskError, OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, json.dumps(content, indent=1).encode())
                return

    @cached_property
    def _noted(self) -> Mapping[str, int]:
        noted: dict[str, int] = {}
        for path in reversed([*_notes(self._folder)]):
            with suppress(OSError, ValueError, TypeError):  # a damaged note is no note
                noted.update(json.loads(path.read_bytes()))
        return noted


def _key(record: FileRecord) -> str:
    return f"{record.name} {record.sha256}"


def _notes(folder: Path) -> Iterator[Path]:
    yield folder / NOTE
    name = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:32]
    yield packages.cache_dir() / "checked" / f"{name}.json"
