"""Limits to how many may come in: at a time, and in a minute."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from camml.serving.problems import ApiError, overloaded

MOST_CLIENTS = 10_000


class Gate:
    """Lets in as many as `capacity` at a time and refuses the rest at once, so that no queue grows without end."""

    def __init__(self, capacity: int, kind: str) -> None:
        self.capacity = capacity
        self.inside = 0
        self._what = kind

    @contextmanager
    def enter(self, weight: int = 1) -> Iterator[None]:
        """Take `weight` of the places for as long as the block runs.

        Raises:
          ApiError: there is no room; the client may try again.
        """
        if self.inside + weight > self.capacity:
            raise overloaded(f"the server has all the {self._what} it can take; try again in a moment")
        self.inside += weight
        try:
            yield
        finally:
            self.inside -= weight


class RateLimit:
    """A bucket of permits for each client, which fills evenly through the minute.

    Args:
      per_minute: permits, of which all may be used at once; 0 for no limit.
      kind: what they are for, in words.
    """

    def __init__(self, per_minute: int, kind: str = "requests", now: Callable[[], float] = time.monotonic) -> None:
        self._what = kind
        self._rate = per_minute / 60
        self._most = per_minute
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Use a permit of `client`.

        Raises:
          ApiError: it has none left; the error says when it has.
        """
        self._look(client, use=True)

    def check(self, client: str) -> None:
        """Raise an ApiError where `client` has no permit left, and use none."""
        self._look(client, use=False)

    def _look(self, client: str, use: bool) -> None:
        if not self._most:
            return
        now = self._now()
        left, since = self._buckets.pop(client, (float(self._most), now))
        left = min(self._most, left + (now - since) * self._rate)
        allowed = left >= 1
        self._buckets[client] = (left - (allowed and use), now)
        if len(self._buckets) > MOST_CLIENTS:  # the client that was quiet for longest has a full bucket again anyway
            self._buckets.popitem(last=False)
        if not allowed:
            wait = str(math.ceil((1 - left) / self._rate))
            raise ApiError(
                429,
                f"more than {self._most} {self._what} a minute; try again in {wait} s",
                "rate_limit_exceeded",
                headers={"Retry-After": wait},
            )
