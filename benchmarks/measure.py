"""Measuring in turns, and the rows of the table that come of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Samples = dict[str, list[float]]


@dataclass(slots=True)
class Plan:
    """How much to measure.

    :param quick: a rough answer in about five minutes
    """

    quick: bool = False

    def times(self, full: int, quick: int) -> int:
        """Return how often to repeat something."""
        return quick if self.quick else full


@dataclass(slots=True)
class Row:
    """One line of the table. Ratios are costs of ours by the peer's: below one is better than the peer.

    :param what: what is measured
    :param ours: our median, as a text with its unit
    :param peer: what it is compared with, and its median
    :param ratio: ours by the peer's; None: there is no peer here
    :param budget: the largest ratio that is within the budget; None: shown for comparison only
    :param note: what the reader must know, such as why a peer is missing
    :param samples: every repetition, by name
    """

    what: str
    ours: str
    peer: str
    ratio: float | None
    budget: float | None = None
    note: str = ""
    samples: Mapping[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the budget is met."""
        if self.ratio is None:
            return "no peer"
        if self.budget is None:
            return "-"
        return "met" if self.ratio <= self.budget else "NOT MET"


def in_turns(contenders: Mapping[str, Callable[[], float]], times: int, *, warm: bool = True) -> Samples:
    """Return the cost of each repetition of each contender: A B C, A B C, …, so that all see the same machine.

    :param warm: run each once before, uncounted
    """
    if warm:
        for run in contenders.values():
            run()
    samples: Samples = {name: [] for name in contenders}
    for _ in range(times):
        for name, run in contenders.items():
            samples[name].append(run())
    return samples


def compare(
    what: str,
    samples: Samples,
    ours: str,
    peer: str,
    show: Callable[[float], str],
    *,
    budget: float | None = None,
    note: str = "",
) -> Row:
    """Return the row of two contenders.

    :param ours: our contender's name among the samples
    :param peer: the other's
    :param show: how a cost is shown
    """
    if peer not in samples:
        return Row(what, show(statistics.median(samples[ours])), peer, None, budget, note or "not installed")
    mine, other = statistics.median(samples[ours]), statistics.median(samples[peer])
    kept = {name: samples[name] for name in (ours, peer)}
    return Row(what, show(mine), f"{peer}: {show(other)}", mine / other, budget, note, kept)


def seconds(value: float) -> str:
    """Return a time as it is shown."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"
