"""Arrays that can be computed again: kept in a folder of a datastore or, where no disk takes them, in memory."""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from camml.arrays import Array, ArrayCache
from camml.errors import DiskError

MAX_BYTES = 16 * 10**9
IN_MEMORY = 1024
"""Arrays that are kept where there is no disk to keep them on."""

_logger = logging.getLogger("camml")


class CachedArrays:
    """Arrays of float16 by key. A disk that is full or not writable costs time alone.

    Args:
      folder: of the datastore; None keeps the arrays in memory.
      kind: what they are, as it is said in warnings; also the name of their folder, which may be deleted at any time.
      about: what they depend on, such as an encoder and its revision; those of anything else are not seen.
    """

    def __init__(self, folder: Path | None, kind: str, about: str) -> None:
        self.kind = kind
        self._memory: OrderedDict[str, Array] = OrderedDict()
        self._lock = Lock()
        self._disk: ArrayCache | None = None
        if folder is not None:
            name = hashlib.sha256(about.encode()).hexdigest()[:16]
            self._disk = ArrayCache(folder / kind / name, folder / kind, MAX_BYTES)

    def __len__(self) -> int:
        return len(self._memory) + (0 if self._disk is None else len(self._disk))

    def get(self, keys: Iterable[str]) -> dict[str, Array]:
        """Return the arrays of those keys that have one; what another process has added since is seen, too."""
        wanted, disk = dict.fromkeys(keys), self._disk
        known = self._known(wanted)
        if len(known) < len(wanted) and disk is not None:
            disk.refresh()
            known = self._known(wanted)
        return known

    def put(self, key: str, array: Array) -> None:
        """Keep an array; in memory where the disk does not take it, which is said once."""
        try:
            if self._disk is not None:
                self._disk.folder.mkdir(parents=True, exist_ok=True)  # it may have been deleted
                self._disk.put(key, array)
                return
        except (DiskError, OSError) as error:
            _logger.warning("%s: %s are kept in memory alone", error, self.kind)
            self._disk = None
        with self._lock:
            self._memory[key] = array
            while len(self._memory) > IN_MEMORY:
                self._memory.popitem(last=False)

    def _known(self, keys: Iterable[str]) -> dict[str, Array]:
        arrays, disk = {}, self._disk  # another thread may find that it takes nothing
        for key in keys:
            array = self._memory.get(key)
            if array is None and disk is not None:
                array = disk.get(key)
            if array is not None:
                arrays[key] = array
        return arrays
