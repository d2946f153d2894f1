"""A value that a thread makes while others do something else."""

import ctypes
from collections.abc import Callable
from threading import Thread
from typing import Generic, TypeVar

T = TypeVar("T")
PATIENCE = 0.1
"""Seconds after which a thread that goes on is told once more to end."""


class BackgroundValue(Generic[T]):
    """A value that a thread makes, until it is asked for.

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
        self._thread = Thread(target=self._run, args=(make,), name="camml-ahead")

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

    def stop(self) -> bool:
        """End the thread, as Ctrl-C would end it; return whether there is a value or an error all the same."""
        done = not self._thread.is_alive()
        while self._thread.is_alive():
            name = ctypes.c_ulong(self._thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(name, ctypes.py_object(KeyboardInterrupt))
            self._thread.join(PATIENCE)
        return done
