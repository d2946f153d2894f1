"""A value that a thread makes while others do something else."""

from collections.abc import Callable
from threading import Thread
from threading import enumerate as running_threads
from typing import Generic, TypeVar

T = TypeVar("T")
THREAD = "camml-ahead"
"""The name of such a thread."""


class BackgroundValue(Generic[T]):
    """A value that a thread makes, until it is asked for.

    Nothing ends the thread before it is done: an exception raised in it from outside, wherever it happens to be, can
    leave a lock of the import system or of `logging` held for good, and then every later thread waits for ever.

    Args:
      make: called in the thread.

    Example:
      >>> product = BackgroundValue(lambda: 6 * 7)
      >>> product.start()
      >>> product.result()
      42
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, args=(make,), name=THREAD)

    def start(self) -> None:
        """Begin to make it."""
        self._thread.start()

    def _run(self, make: Callable[[], T]) -> None:
        try:
            self._value = make()
        except BaseException as error:  # raised where the value is asked for
            self._error = error

    def result(self) -> T:
        """Return the value when it is there, or raise what kept it from being made."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value


def is_busy() -> bool:
    """Return whether a value is still being made, asked for or not.

    Example:
      >>> is_busy()
      False
    """
    return any(thread.name == THREAD for thread in running_threads())
