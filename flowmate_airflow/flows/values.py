"""The kinds of values that the models of a flow file are made of."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from flowmate_airflow.flows.durations import PATTERN, parse_duration
from flowmate_airflow.flows.errors import shown

STEP_ID = r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$"
FLOW_ID = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$"
CONNECTION_ID = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$"
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _duration(value: Any) -> timedelta:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a duration; write for example 30s, 10m, 1h30m or 2d")
    return parse_duration(value)


def _date(value: Any) -> date:
    try:
        # Python 3.11 reads more forms than 3.10 does.
        day = date.fromisoformat(value) if isinstance(value, str) and _DAY.fullmatch(value) else None
    except ValueError:
        day = None
    if day is None:
        raise ValueError(f"{shown(value)} is not a date; write for example 2026-01-31")
    if not 1970 <= day.year <= 2999:
        raise ValueError(f"the day {value} must be between the years 1970 and 2999")
    return day


Duration: TypeAlias = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["30s", "10m", "1h30m", "2d"]}),
]
Day: TypeAlias = Annotated[
    date, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-01-31"]})
]
Title: TypeAlias = Annotated[str, Field(min_length=1, max_length=250)]
"""Bounded, because a text longer than its column in the database ends Airflow's dag processor."""
StepId: TypeAlias = Annotated[str, Field(pattern=STEP_ID)]


class FlowModel(BaseModel):
    """What all models of the format share: unknown keys are errors, values are read only, types are strict."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)
