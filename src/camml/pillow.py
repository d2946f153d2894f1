"""Pillow's warnings, unheard in the thread that reads an image and nowhere else."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast


class _WhileReading:
    """Stands in a warning filter where a module's pattern does; it fits Pillow, in a thread that reads an image."""

    def __init__(self) -> None:
        self.now = threading.local()

    def match(self, module: str) -> bool:
        return getattr(self.now, "reading", False) and (module == "PIL" or module.startswith("PIL."))


_READING = _WhileReading()
_IGNORED: Any = ("ignore", None, Warning, _READING, 0)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Suppress Pillow's warnings in this thread: each is about what is fine, or an error of ours.

    `warnings.catch_warnings` would change the filters of all threads, and images are read by several at once. The
    filter that is put first here fits nothing but what this thread does meanwhile, so it stays.
    """
    filters = cast("list[Any]", warnings.filters)
    if not filters or filters[0] is not _IGNORED:
        filters.insert(0, _IGNORED)
    before = getattr(_READING.now, "reading", False)
    _READING.now.reading = True
    try:
        yield
    finally:
        _READING.now.reading = before
