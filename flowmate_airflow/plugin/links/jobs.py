"""Runs of a flow for a tenant, asked for in the words of hotglue's jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.configuration import conf
from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
from airflow.models.dag import DagModel
from airflow.utils.types import DagRunTriggeredByType
from fastapi import HTTPException

from flowmate_airflow.flows.tenantmodels import GATE
from flowmate_airflow.plugin.links.bodies import JobAnswer
from flowmate_airflow.store.values import digest

MAX_KEY = 255
_FLOW = re.compile(r"[A-Za-z0-9_.~:+-]{1,250}")


def may_run(user: BaseUser, flow: str) -> bool:
    """Whether a user of Airflow may start runs of a flow."""
    team = DagModel.get_team_name(flow) if conf.getboolean("core", "multi_team") else None
    details = DagDetails(id=flow, team_name=team)
    return get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=details, user=user
    )


def start(tenant: str, flow: str, body: Mapping[str, Any], key: str | None, user: BaseUser) -> JobAnswer:
    """Start a run, and return it; with the key of one that was asked for before, that one.

    :param key: the header `Idempotency-Key`
    :raises HTTPException: it cannot be started
    """
    if body.get(GATE, tenant) != tenant:
        raise HTTPException(400, f"`{GATE}` in the body is another tenant than in the address")
    if key is not None and (not 0 < len(key) <= MAX_KEY or not key.isprintable()):
        raise HTTPException(400, f"`Idempotency-Key` has 1 to {MAX_KEY} printable characters")
    if not _FLOW.fullmatch(flow):
        raise _no_flow()
    asked = {**body, GATE: tenant}
    run_id = None if key is None else f"job__{digest(tenant, flow, key).hex()[:40]}"
    try:
        run = trigger_dag(
            flow,
            triggered_by=DagRunTriggeredByType.REST_API,
            triggering_user_name=user.get_name(),
            run_id=run_id,
            conf=asked,
        )
    except DagNotFound:
        raise _no_flow() from None
    except DagRunAlreadyExists as error:
        if key is None:
            raise HTTPException(409, "another run began at the same moment; try again") from None
        run = error.dag_run
        if run.conf != asked:
            raise HTTPException(422, "`Idempotency-Key` was used with another body") from None
    except (ParamValidationError, ValueError) as error:
        raise HTTPException(400, str(error).partition("\n")[0][:1000]) from None
    if run is None:
        raise _no_flow()
    return JobAnswer(tenant=tenant, flow=flow, dag_run_id=run.run_id, state=str(run.state))


def _no_flow() -> HTTPException:
    return HTTPException(404, "there is no such flow")
