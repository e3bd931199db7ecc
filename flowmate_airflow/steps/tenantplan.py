"""For which tenants runs of a flow are started, and for which not and why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flowmate_airflow.steps.links import unready
from flowmate_airflow.store.linked import tenants_with
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.tenants import TenantFlow

OFF = "the flow is switched off for the tenant"
MAX_NAMED = 20
"""Names in a sentence."""


@dataclass(slots=True)
class Plan:
    """What becomes of a flow's tenants; each is in one of these.

    :param start: a run is started for them
    :param skipped: left out this time, with the reason
    :param unlinked: they have not linked all connectors
    :param failed: a run should have been started, or has failed
    """

    start: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unlinked: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def skip(self, reasons: Mapping[str, str]) -> None:
        """Start none for these."""
        self.start = [name for name in self.start if name not in reasons]
        self.skipped.update(reasons)

    def fail(self, reasons: Mapping[str, str]) -> None:
        """Start none for these, and name them."""
        self.start = [name for name in self.start if name not in reasons]
        self.failed.update(reasons)

    def only(self, names: Collection[str]) -> None:
        """Leave out all others without a word: it is not their time."""
        self.start = [name for name in self.start if name in names]
        for reasons in (self.skipped, self.unlinked, self.failed):
            for name in reasons.keys() - set(names):
                del reasons[name]


def plan(store: Store, connectors: Collection[str], who: Sequence[str] | None, said: Mapping[str, TenantFlow]) -> Plan:
    """Return for whom a flow could run now.

    :param connectors: that the flow links
    :param who: the tenants; None: all that have linked the connectors
    :param said: what is said of the flow, by tenant
    :raises StoreError: the store cannot be read
    """
    names = tenants_with(store, connectors) if who is None else list(who)
    off = {name: OFF for name in names if name in said and not said[name].is_on}
    on = [name for name in names if name not in off]
    missing = unready(store, on, connectors)
    found = Plan(on, dict(off), dict(missing.unlinked))
    found.start = [name for name in on if name not in missing.unlinked]
    found.fail(missing.refused)
    return found


def named(names: Iterable[str]) -> str:
    """Return names for a sentence: the first of them, and how many more there are."""
    listed = sorted(names)
    more = len(listed) - MAX_NAMED
    return ", ".join(listed[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
