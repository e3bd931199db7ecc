"""The first run of a flow for a tenant, who has just linked the last connector that it needs."""

from __future__ import annotations

import logging

from flowmate_airflow.flows.tenantmodels import DISPATCHER, ONLY

log = logging.getLogger(__name__)

_TAG = "first run on link: "


def first_run_tag(connector: str) -> str:
    """Return the tag of the DAGs that start a first run when a connector is linked: Airflow's database knows them."""
    return f"{_TAG}{connector}"


def start_first_runs(tenant: str, connector: str) -> list[str]:
    """Ask for the first runs of those flows that want them and have a connector; return the flows.

    Each flow's own DAG that starts its runs looks whether the tenant has linked all else that the flow needs.
    """
    flows = []
    try:
        for dag_id in _waiting_for(connector):
            _start(dag_id, tenant)
            flows.append(dag_id.removesuffix(DISPATCHER))
    except Exception as error:  # the link stays, whatever the flows have
        log.warning("Not all first runs of %s could be asked for: %s", tenant, type(error).__name__)
    return flows


def _start(dag_id: str, tenant: str) -> None:
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.utils.types import DagRunTriggeredByType

    trigger_dag(dag_id, triggered_by=DagRunTriggeredByType.REST_API, conf={ONLY: [tenant]})


def _waiting_for(connector: str) -> list[str]:
    from airflow.models.dag import DagModel, DagTag
    from airflow.utils.session import create_session
    from sqlalchemy import select

    wanted = DagTag.name == first_run_tag(connector), DagModel.is_stale.is_(False), DagModel.is_paused.is_(False)
    query = select(DagModel.dag_id).join(DagTag, DagTag.dag_id == DagModel.dag_id).where(*wanted)
    with create_session() as session:
        found = session.scalars(query.order_by(DagModel.dag_id)).all()
    return [str(dag_id) for dag_id in found if str(dag_id).endswith(DISPATCHER)]
