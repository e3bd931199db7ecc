"""Checks of when a flow runs and of its params."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

from flowmate_airflow.flows.durations import parse_duration
from flowmate_airflow.flows.errors import Problem, did_you_mean
from flowmate_airflow.flows.models import Flow
from flowmate_airflow.flows.positions import SourceMap
from flowmate_airflow.flows.schemas import schema_problem, violations

PRESETS = ("@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")


def parse_schedule(schedule: str | None) -> str | timedelta | None:
    """Return a cron text or preset, an interval, or None for "only when asked".

    :raises ValueError: it is none of these
    """
    if schedule is None or schedule == "none":
        return None
    if schedule in PRESETS:
        return schedule
    if re.fullmatch(r"[0-9][0-9wdhms]*", schedule):
        return parse_duration(schedule)
    if schedule.startswith("@"):
        raise ValueError(f"there is no preset {schedule!r}")
    if len(schedule.split()) != 5:
        raise ValueError(f"{schedule!r} is neither cron (five fields) nor an interval")
    from croniter import croniter

    if not croniter.is_valid(schedule):
        raise ValueError(f"{schedule!r} is not a valid cron expression")
    return schedule


def check_schedule(flow: Flow, source: SourceMap) -> Iterator[Problem]:
    """Yield what is wrong with schedule, time zone and dates."""
    try:
        parse_schedule(flow.schedule)
    except ValueError as error:
        hint = did_you_mean(str(flow.schedule), PRESETS) if str(flow.schedule).startswith("@") else None
        hint = hint or 'write cron such as "*/15 * * * *", a preset such as @hourly, an interval such as 15m, or none'
        yield source.problem(str(error), ("schedule",), hint)
    try:
        ZoneInfo(flow.timezone)
    except (KeyError, ValueError, OSError):
        yield source.problem(
            f"there is no time zone {flow.timezone!r}", ("timezone",), "write a name such as UTC or Europe/Berlin"
        )
    if flow.catchup and flow.start_date is None:
        yield source.problem("`catchup` needs a day to begin with", ("catchup",), "add `start_date: YYYY-MM-DD`")
    if flow.start_date and flow.end_date and flow.end_date < flow.start_date:
        yield source.problem("`end_date` is before `start_date`", ("end_date",))


def check_params(flow: Flow, source: SourceMap) -> Iterator[Problem]:
    """Yield what is wrong with the params: their schemas, and their defaults by these schemas."""
    scheduled = flow.schedule not in (None, "none")
    for name, schema in flow.params.items():
        wrong = schema_problem(schema)
        if wrong is not None:
            yield source.problem(f"the param `{name}` is not a JSON Schema: {wrong}", ("params", name), at="key")
        elif "default" in schema:
            for violation in violations({name: schema}, {name: schema["default"]}):
                yield source.problem(f"default of {violation.message}", ("params", name, "default"))
        elif scheduled:
            yield source.problem(
                f"the param `{name}` has no default, and a scheduled run has nobody to ask",
                ("params", name),
                "add `default:`",
                at="key",
            )
