"""How often a component may ask for new credentials while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from flowmate_airflow.steps.errors import ConfigFailure

MAX_RENEWALS = 1_000
"""How often one start of a component may ask: a token that is good for a minute lasts sixteen hours."""
PAUSE = 1.0
"""Seconds from one request to the next: a component in a loop shall not keep Airflow busy."""


class Pace:
    """Holds up a component that asks too quickly, and ends one that asks too often.

    :param clock: gives seconds
    :param sleep: waits for seconds
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._count = 0
        self._next: float | None = None

    def step(self, name: str) -> None:
        """Take the next request, when it is time for one.

        :param name: the step's id, for errors
        :raises ConfigFailure: there have been too many
        """
        self._count += 1
        if self._count > MAX_RENEWALS:
            raise ConfigFailure(
                f"step `{name}`: its component asked for new credentials more than {MAX_RENEWALS:,} times"
            )
        now = self._clock()
        if self._next is not None and now < self._next:
            self._sleep(self._next - now)
        self._next = self._clock() + PAUSE
