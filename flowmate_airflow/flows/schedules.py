"""Checks of when a flow runs and of its params."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo

from flowmate_airflow.flows.durations import parse_duration
from flowmate_airflow.flows.errors import Problem, did_you_mean, shown
from flowmate_airflow.flows.models import Flow
from flowmate_airflow.flows.positions import SourceMap
from flowmate_airflow.flows.schemas import schema_problem, violations

PRESETS = ("@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")

MAX_CRON = 256
_RANDOM = re.compile(r"\b[rh]\b", re.IGNORECASE)
_SOME_DAY = datetime(2024, 1, 1, tzinfo=timezone.utc)


@lru_cache(maxsize=1024)
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
        raise ValueError(f"there is no preset {shown(schedule)}")
    if len(schedule.split()) != 5 or len(schedule) > MAX_CRON:
        raise ValueError(f"{shown(schedule)} is neither cron (five fields) nor an interval")
    if _is_surely_cron(schedule):
        return schedule
    from croniter import CroniterBadDateError, croniter

    # croniter's `R` and `H` stand for random times, but a DAG must be the same at every parse.
    if _RANDOM.search(schedule) or not croniter.is_valid(schedule):
        raise ValueError(f"{shown(schedule)} is not a valid cron expression")
    try:
        croniter(schedule, _SOME_DAY).get_next()
    except CroniterBadDateError:
        raise ValueError(f"{shown(schedule)} never comes: there is no such day") from None
    return schedule


_CRON_FIELDS = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
"""What each field may say, in any month."""
_CRON_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?", re.ASCII)


def _is_surely_cron(schedule: str) -> bool:
    """Whether a text is certainly cron with a next time: true for most, without croniter, which takes a while."""
    return all(
        _is_surely_part(part, *bounds)
        for field, bounds in zip(schedule.split(), _CRON_FIELDS, strict=True)
        for part in field.split(",")
    )


def _is_surely_part(part: str, low: int, high: int) -> bool:
    match = _CRON_PART.fullmatch(part)
    if match is None:
        return False
    first, last, step = (None if number is None else int(number) for number in match.groups())
    if step is not None and (not 0 < step <= high - low or (first is not None and last is None)):
        return False
    return first is None or (low <= first <= high and (last is None or first < last <= high))


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
            f"there is no time zone {shown(flow.timezone)}", ("timezone",), "write a name such as UTC or Europe/Berlin"
        )
    if flow.catchup and flow.start_date is None:
        yield source.problem("`catchup` needs a day to begin with", ("catchup",), "add `start_date: YYYY-MM-DD`")
    if flow.start_date and flow.end_date and flow.end_date < flow.start_date:
        yield source.problem("`end_date` is before `start_date`", ("end_date",))


def check_params(flow: Flow, source: SourceMap) -> Iterator[Problem]:
    """Yield what is wrong with the params: their schemas, and their defaults by these schemas."""
    scheduled = flow.schedule not in (None, "none") or flow.webhook is not None
    for name, schema in flow.params.items():
        wrong = schema_problem(schema)
        if wrong is not None:
            message = f"the param `{name}` is not a JSON Schema: {wrong.message}"
            yield source.problem(message, ("params", name, *wrong.path), wrong.hint)
        elif "default" in schema:
            for violation in violations({name: schema}, {name: schema["default"]}):
                yield source.problem(f"default of {violation.message}", ("params", name, "default"))
        elif scheduled:
            yield source.problem(
                f"the param `{name}` has no default, and a run that starts by itself has nobody to ask",
                ("params", name),
                "add `default:`",
                at="key",
            )
