"""When a flow is due for tenants who may have a schedule of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flowmate_airflow.auth.names import DEFAULT_TENANT
from flowmate_airflow.flows.schedules import parse_schedule
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.tenants import TenantFlow, note_next, set_flow

UNFIT = ("@once", "@continuous")


@dataclass(frozen=True, slots=True)
class Due:
    """For whom a flow is due.

    :param since: the moment that is due, by tenant
    :param failed: tenants whose schedule is none, with the reason
    """

    since: dict[str, datetime] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


class Clock:
    """The schedules of one flow's tenants: theirs, else that of the tenant `default`, else the flow's.

    :param schedule: the flow's, as it was written
    :param zone: the flow's time zone, which counts for all of them
    :param said: what is said of the flow, by tenant
    """

    def __init__(
        self, store: Store, flow: str, schedule: str | None, zone: str, said: Mapping[str, TenantFlow], now: datetime
    ) -> None:
        self._store = store
        self._flow = flow
        self._zone = ZoneInfo(zone)
        self._said = said
        self._now = now
        template = said.get(DEFAULT_TENANT)
        self._inherited = template.schedule if template is not None and template.schedule is not None else schedule

    def due(self, tenants: Collection[str]) -> Due:
        """Return for whom the flow is due; a schedule that is seen for the first time is not.

        :raises StoreError: the store cannot be written
        """
        found = Due()
        inherited = [name for name in tenants if self._own(name) is None]
        for name in (*(each for each in tenants if self._own(each) is not None), DEFAULT_TENANT):
            whose = inherited if name == DEFAULT_TENANT else [name]
            try:
                moment = self._due(name)
            except ValueError as error:
                found.failed.update(dict.fromkeys(whose, f"the schedule is wrong: {error}"))
                continue
            if moment is not None:
                found.since.update(dict.fromkeys(whose, moment))
        return found

    def started(self, due: Mapping[str, datetime]) -> None:
        """Keep when the flow is due next for tenants for whom it was started.

        :raises StoreError: the store cannot be written
        """
        names = {name if self._own(name) is not None else DEFAULT_TENANT: moment for name, moment in due.items()}
        for name, moment in names.items():
            self._keep(name, self._next(self._schedule(name), moment))

    def _own(self, tenant: str) -> str | None:
        said = self._said.get(tenant)
        return None if said is None else said.schedule

    def _schedule(self, name: str) -> str | None:
        return self._inherited if name == DEFAULT_TENANT else self._own(name)

    def _due(self, name: str) -> datetime | None:
        """Return the moment at which it was due and has not been started for; None: it is not."""
        schedule = self._schedule(name)
        said = self._said.get(name)
        known = None if said is None else said.next_at
        coming = self._next(schedule, self._now)
        if coming is None:
            return None
        if known is not None and known <= self._now:
            return known
        if known is None or known > coming:  # it is new, or another one than it was
            self._keep(name, coming)
        return None

    def _next(self, schedule: str | None, after: datetime) -> datetime | None:
        return next_time(schedule, self._zone, after, self._now)

    def _keep(self, name: str, moment: datetime | None) -> None:
        own = self._said.get(name)
        if own is None and name == DEFAULT_TENANT:
            set_flow(self._store, name, self._flow, next_at=moment)
        else:
            note_next(self._store, name, self._flow, None if own is None else own.schedule, moment)


def next_time(schedule: str | None, zone: ZoneInfo, after: datetime, now: datetime) -> datetime | None:
    """Return the first time of a schedule that is later than now; None for a schedule without times.

    :param after: an interval counts from then
    :raises ValueError: it is no schedule, or one that tenants cannot have
    """
    parsed = parse_schedule(schedule)
    if parsed is None:
        return None
    if parsed in UNFIT:
        raise ValueError(f"`{parsed}` is none that tenants can have")
    if isinstance(parsed, timedelta):
        passed = max(now - after, timedelta(0)) // parsed + 1
        return after + passed * parsed
    from croniter import croniter

    found: datetime = croniter(_PRESETS.get(parsed, parsed), now.astimezone(zone)).get_next(datetime)
    return found


_PRESETS = {"@quarterly": "0 0 1 */3 *"}
"""What Airflow knows by name, and croniter does not."""
