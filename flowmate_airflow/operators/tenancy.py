"""Whose run a task is in, and what the run's conf asks for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.log import redact  # type: ignore[attr-defined]

from flowmate_airflow.auth.names import DEFAULT_TENANT, check_tenant
from flowmate_airflow.flows.tenantmodels import DISPATCHER
from flowmate_airflow.operators.replay import tenant_of
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.jobbody import JobBody, job_body
from flowmate_airflow.steps.links import TenantFacts, dates_in

ERROR = "flowmate_error"
"""The XCom key under which a task of a tenant's run leaves why it failed."""
MAX_ERROR = 500


def checked_tenant(context: Any) -> str:
    """Return the tenant that the run is for.

    :raises ConfigFailure: its conf names none, or what is none
    """
    flow = context["ti"].dag_id
    how = (
        f'start a run with the conf {{"tenant": "…"}} for one tenant, or a run of `{flow}{DISPATCHER}` for all of them'
    )
    given = conf_of(context).get("tenant")
    if given is None:
        raise ConfigFailure(f"the flow runs for tenants, and this run's conf names none: {how}")
    try:
        tenant = check_tenant(given)
    except ValueError as error:
        raise ConfigFailure(f"the run's conf: {error}; {how}") from None
    if tenant == DEFAULT_TENANT:
        raise ConfigFailure(f"no flow runs for the tenant `{tenant}`, whose settings others inherit; {how}")
    return tenant


def conf_of(context: Any) -> Mapping[str, Any]:
    """Return the conf of the run, nothing where it has none."""
    conf = getattr(context.get("dag_run"), "conf", None)
    return conf if isinstance(conf, Mapping) else {}


def job_of(context: Any) -> JobBody:
    """Return what the run's conf asks for in the words of a job.

    :raises ConfigFailure: it asks for what cannot be
    """
    return job_body(conf_of(context), set(getattr(context.get("dag"), "params", None) or ()))


def template_names(context: Any) -> Any:
    """Return what templates know: Airflow's names, and where the run is for a tenant, `tenant` and the dates.

    :raises ConfigFailure: the run's conf has dates that are none
    """
    tenant = tenant_of(context)
    if not tenant:
        return context
    has_dates = context.get("logical_date") is not None
    dates = {} if has_dates else dates_in(conf_of(context), getattr(context["dag_run"], "run_after", None))
    return {**context, **dates, "tenant": TenantFacts(tenant, context["ti"].dag_id)}


def leave_word(text: str) -> None:
    """Leave why the task fails where the DAG that started the tenant's run finds it; secrets are masked."""
    # Whatever goes wrong here must not hide the failure itself.
    with suppress(Exception):
        context = get_current_context()
        if tenant_of(context):
            context["ti"].xcom_push(key=ERROR, value=str(redact(text))[:MAX_ERROR])
