"""How many requests a minute an endpoint takes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

MINUTE = 60.0
MAX_BUCKETS = 20_000


class Buckets:
    """A bucket of tokens for each key, full at first, that fills up again within a minute.

    They are this process's own: several workers let in as many each. At most :data:`MAX_BUCKETS` are remembered; that
    which was not used for longest is forgotten first.

    :param clock: monotonic seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, rate: int) -> float:
        """Take a token; return 0.0 when there was one, else the seconds until there is.

        :param rate: tokens a minute
        """
        now = self._clock()
        left, then = self._buckets.get(key, (float(rate), now))
        left = min(float(rate), left + (now - then) * rate / MINUTE)
        is_there = left >= 1
        self._buckets[key] = (left - 1 if is_there else left, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if is_there:
            return 0.0
        return (1 - left) * MINUTE / rate if rate > 0 else MINUTE
