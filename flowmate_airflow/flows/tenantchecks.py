"""Checks of the flow key `tenants`, and of the names that flows with tenants need for themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowmate_airflow.auth.names import DEFAULT_TENANT
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.errors import Problem
from flowmate_airflow.flows.models import Flow, UseStep
from flowmate_airflow.flows.positions import SourceMap
from flowmate_airflow.flows.tenantmodels import DISPATCHER, GATE, TenantOptions


def is_linked(flow: Flow, step: Any, manifest: Any) -> bool:
    """Whether a step uses the tenant's own link of its connector."""
    if flow.tenants is None or not isinstance(step, UseStep) or step.connection is not None:
        return False
    return isinstance(manifest, Manifest) and any(method.type != "none" for method in manifest.auth.values())


def linked_connectors(flow: Flow, catalog: Catalog) -> list[str]:
    """Return the connectors that a tenant must have linked for a flow, in order."""
    steps = [step for step in flow.steps if isinstance(step, UseStep)]
    return sorted({step.connector for step in steps if is_linked(flow, step, catalog.get(step.connector))})


def check_tenants(flow: Flow, source: SourceMap, catalog: Catalog, written: list[Any]) -> Iterator[Problem]:
    """Yield what is wrong with a flow's tenants, and names that mean something else.

    :param written: the `steps` as the file has them
    """
    if GATE in flow.params:
        yield source.problem(
            f"the param `{GATE}` cannot be: in a run's conf this key says whose run it is",
            ("params", GATE),
            "give the param another name",
            at="key",
        )
    if flow.id is not None and flow.id.endswith(DISPATCHER):
        yield source.problem(
            f"a flow's id cannot end in `{DISPATCHER}`: that is how the DAGs that start runs for tenants are called",
            ("id",),
            "give the flow another `id:`",
        )
    if flow.tenants is None:
        return
    yield from _check_names(written, source)
    yield from _check_options(flow, source)
    known = all(isinstance(catalog.get(step.connector), Manifest) for step in flow.steps if isinstance(step, UseStep))
    if known and len(flow.steps) == len(written) and not linked_connectors(flow, catalog):
        yield source.problem(
            "the flow has `tenants`, but no step of it uses a tenant's link",
            ("tenants",),
            "remove the `connection:` of a step whose connector tenants link, or remove `tenants`",
            at="key",
        )


def _check_names(written: list[Any], source: SourceMap) -> Iterator[Problem]:
    for index, step in enumerate(written):
        for key in ("id", "group"):
            if isinstance(step, dict) and step.get(key) == GATE:
                yield source.problem(
                    f"the id `{GATE}` is taken",
                    ("steps", index, key),
                    f"the first task of a flow with `tenants` has this id; rename the {'step' if key == 'id' else key}",
                )


def _check_options(flow: Flow, source: SourceMap) -> Iterator[Problem]:
    options = flow.tenancy
    if options is None:
        return
    if "max_active_runs" in flow.model_fields_set:
        yield source.problem(
            "`max_active_runs` is `tenants.at_once` in a flow with tenants",
            ("max_active_runs",),
            "remove it, and write `at_once:` under `tenants:`",
            at="key",
        )
    if isinstance(options.who, list):
        place = ("tenants",) if isinstance(flow.tenants, list) else ("tenants", "who")
        yield from _check_who(options.who, place, source)
    yield from _check_starts(flow, options, source)


def _check_who(tenants: list[str], place: tuple[str, ...], source: SourceMap) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, tenant in enumerate(tenants):
        if tenant in seen:
            yield source.problem(f"`{tenant}` is named twice", (*place, number), "name it once")
        elif tenant == DEFAULT_TENANT:
            yield source.problem(
                f"no flow runs for the tenant `{tenant}`, whose settings others inherit",
                (*place, number),
                "remove it",
            )
        seen.add(tenant)


def _check_starts(flow: Flow, options: TenantOptions, source: SourceMap) -> Iterator[Problem]:
    if options.schedules == "own":
        for key, there in (("webhook", flow.webhook is not None), ("catchup", flow.catchup)):
            if there:
                yield source.problem(
                    f"`{key}` does not go with schedules of the tenants' own",
                    (key,),
                    "remove it, or `schedules: own` under `tenants:`",
                    at="key",
                )
    if options.on_link is not None and flow.webhook is not None:
        yield source.problem(
            "a flow that events start has no first run on link: there is nothing yet that it could read",
            ("tenants", "on_link"),
            "remove it",
            at="key",
        )
