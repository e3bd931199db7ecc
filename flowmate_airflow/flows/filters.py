"""The Jinja filters that Airflow adds, for where Airflow is not: checks, and local runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime


def _formatted(form: str) -> Callable[[date | None], str | None]:
    return lambda value: None if value is None else value.strftime(form)


def _ts(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def _ts_nodash_with_tz(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("-", "").replace(":", "")


FILTERS: dict[str, Callable[..., str | None]] = {
    "ds": _formatted("%Y-%m-%d"),
    "ds_nodash": _formatted("%Y%m%d"),
    "ts": _ts,
    "ts_nodash": _formatted("%Y%m%dT%H%M%S"),
    "ts_nodash_with_tz": _ts_nodash_with_tz,
}
