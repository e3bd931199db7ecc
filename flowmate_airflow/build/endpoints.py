"""The endpoints of a flow: of the webhook that starts it, and of its steps that wait."""

from __future__ import annotations

from dataclasses import replace

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Events, size_in_bytes
from flowmate_airflow.flows.load import LoadedFlow
from flowmate_airflow.flows.models import WaitStep
from flowmate_airflow.flows.tenantchecks import is_linked
from flowmate_airflow.flows.webhookchecks import DEFAULT_SCHEME, taken_events
from flowmate_airflow.flows.webhookmodels import EndpointOptions
from flowmate_airflow.webhooks.endpoints import WAITS, Endpoint


def flow_endpoint(loaded: LoadedFlow, catalog: Catalog) -> Endpoint | None:
    """Return the endpoint of the webhook that starts a flow; None when none does."""
    webhook = loaded.flow.webhook
    if webhook is None:
        return None
    taken = taken_events(loaded.flow, catalog)
    endpoint = _endpoint(loaded.flow_id, webhook, taken[1] if taken else None)
    linked = taken is not None and is_linked(loaded.flow, taken[0], catalog.get(taken[0].connector))
    return replace(
        endpoint,
        tenants=loaded.flow.tenants is not None,
        connector=taken[0].connector if taken is not None and linked else None,
        reply=webhook.reply.within.total_seconds() if webhook.reply is not None else None,
        order_by=webhook.order_by,
        debounce=webhook.debounce.total_seconds() if webhook.debounce is not None else 0,
    )


def wait_endpoint(loaded: LoadedFlow, step: WaitStep) -> Endpoint:
    """Return the endpoint of a step that waits."""
    endpoint = _endpoint(f"{loaded.flow_id}{WAITS}{step.id}", step.wait.webhook, None)
    return replace(endpoint, tenants=loaded.flow.tenants is not None)


def _endpoint(name: str, options: EndpointOptions, events: Events | None) -> Endpoint:
    given = events.options if events is not None and options.scheme is None else {}
    return Endpoint(
        name,
        scheme=options.scheme or (events.scheme if events else DEFAULT_SCHEME),
        options={**given, **options.options},
        connection=options.connection,
        max_body=size_in_bytes(options.max_body),
        rate=options.rate,
        encrypt=options.encrypt,
        keep=int(options.keep.total_seconds()),
    )
