"""What a template may name in a local run: as much of Airflow's context as there is without Airflow."""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import missing

from flowmate_airflow.flows.expressions import RUN_NAMES
from flowmate_airflow.flows.filters import FILTERS
from flowmate_airflow.steps.links import TenantFacts


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is true for a whole local run."""

    flow_id: str
    run_id: str
    now: datetime
    params: Mapping[str, Any]
    tenant: str = ""


class _NotHere(StrictUndefined):
    """A name that only Airflow knows."""

    @property
    def _undefined_message(self) -> str:
        if self._undefined_obj is missing and self._undefined_name in RUN_NAMES:
            return f"`{self._undefined_name}` is known in Airflow only, not in a local run"
        return super()._undefined_message


def environment() -> SandboxedEnvironment:
    """Return an environment like Airflow's, with its filters."""
    made = SandboxedEnvironment(undefined=_NotHere, extensions=["jinja2.ext.do"], cache_size=0)
    made.filters.update(FILTERS)
    return made


def context_of(facts: RunFacts) -> dict[str, Any]:
    """Return the names of a run, as Airflow gives them to a run that was triggered by hand now."""
    import pendulum

    now = pendulum.instance(facts.now)
    run = SimpleNamespace(
        dag_id=facts.flow_id,
        run_id=facts.run_id,
        run_type="manual",
        conf={**facts.params, **({"tenant": facts.tenant} if facts.tenant else {})},
        logical_date=now,
        run_after=now,
        start_date=now,
        data_interval_start=now,
        data_interval_end=now,
    )
    return {
        "params": dict(facts.params),
        "run_id": facts.run_id,
        "dag_run": run,
        "logical_date": now,
        "data_interval_start": now,
        "data_interval_end": now,
        "start_date": now,
        **{name: form(now) for name, form in FILTERS.items()},
        "prev_data_interval_start_success": None,
        "prev_data_interval_end_success": None,
        "prev_start_date_success": None,
        "prev_end_date_success": None,
        "macros": _MACROS,
        **({"tenant": TenantFacts(facts.tenant, facts.flow_id)} if facts.tenant else {}),
    }


def _ds_add(ds: str, days: int) -> str:
    return (date.fromisoformat(str(ds)) + timedelta(days)).isoformat()


def _ds_format(ds: str, input_format: str, output_format: str) -> str:
    return datetime.strptime(str(ds), input_format).strftime(output_format)


_MACROS = SimpleNamespace(
    datetime=datetime,
    ds_add=_ds_add,
    ds_format=_ds_format,
    json=json,
    random=random.random,
    time=time,
    timedelta=timedelta,
    uuid=uuid,
)
