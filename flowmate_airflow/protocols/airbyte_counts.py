"""Counts of records in the states of sources and destinations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def told_count(entry: Mapping[str, Any], stats: str, name: str = "recordCount") -> int | None:
    """Return the count of records that a state carries; None: it tells none.

    Connectors that do not count write 0.

    :param stats: `sourceStats` or `destinationStats`
    """
    part = entry.get(stats)
    count = part.get(name) if isinstance(part, Mapping) else None
    if isinstance(count, bool) or not isinstance(count, int | float) or not math.isfinite(count) or count <= 0:
        return None
    return int(count)
