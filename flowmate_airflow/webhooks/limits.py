"""How many requests a minute an endpoint takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

MINUTE = 60.0
_MAX_BUCKETS = 20_000


class Buckets:
    """A bucket of tokens for each key, full at first, that fills up again within a minute.

    They are this process's own: several workers let in as many each.

    :param clock: monotonic seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable, rate: int) -> float:
        """Take a token; return 0.0 when there was one, else the seconds until there is.

        :param rate: tokens a minute
        """
        now = self._clock()
        left, then = self._buckets.get(key, (float(rate), now))
        left = min(float(rate), left + (now - then) * rate / MINUTE)
        if left < 1:
            self._buckets[key] = (left, now)
            return (1 - left) * MINUTE / rate if rate > 0 else MINUTE
        if len(self._buckets) >= _MAX_BUCKETS:
            self._drop_full(now)
        self._buckets[key] = (left - 1, now)
        return 0.0

    def _drop_full(self, now: float) -> None:
        """Forget what was not used for a minute: a new bucket is full, too."""
        self._buckets = {key: kept for key, kept in self._buckets.items() if now - kept[1] < MINUTE}
