"""A tenant's links, as the runs of a flow use them: which Connection a step gets, and who is ready to run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from flowmate_airflow.auth.mappings import TenantError, mapping_for
from flowmate_airflow.auth.names import DEFAULT_TENANT
from flowmate_airflow.flows.fieldmaps import FieldMap
from flowmate_airflow.flows.filters import FILTERS
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.store import linked, renewals, tenants
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.store import Store, open_store

DATES = "flowmate_dates"
"""The key of a run's conf with the times that templates may name: runs of several tenants share no logical date."""
DATE_NAMES = ("logical_date", "data_interval_start", "data_interval_end")


@dataclass(frozen=True, slots=True)
class Link:
    """What a step has from its tenant's link.

    :param conn_id: the Connection
    :param field_map: which tables and fields are read for the tenant; None: all that the step reads
    """

    conn_id: str
    field_map: FieldMap | None = None


def link_of(store: Store, tenant: str, connector: str, step: str) -> Link:
    """Return the link of a run's tenant to a step's connector.

    A field map of their own counts, else that of the tenant `default`.

    :param tenant: the empty text for a run that is for none
    :raises ConfigFailure: the run is for no tenant, or the tenant has not linked the connector
    :raises StoreError: the store cannot be read
    """
    if not tenant:
        raise ConfigFailure(
            f"step `{step}` uses the link of a tenant to `{connector}`, and the run is for none: its conf needs "
            '`{"tenant": "…"}`'
        )
    found = linked.find(store, tenant, connector)
    if found is None:
        raise ConfigFailure(f"step `{step}`: {_not_linked(tenant, [connector])}")
    field_map = found.field_map
    if field_map is None:
        template = linked.find(store, DEFAULT_TENANT, connector)
        field_map = None if template is None else template.field_map
    return Link(found.conn_id, field_map)


@dataclass(frozen=True, slots=True)
class Unready:
    """The tenants for whom a flow cannot run, with the reason.

    :param unlinked: they have not linked all connectors
    :param refused: they have, but must log in again
    """

    unlinked: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def unready(store: Store, names: Collection[str], connectors: Collection[str]) -> Unready:
    """Return which of some tenants cannot run a flow.

    :param connectors: that the flow links
    :raises StoreError: the store cannot be read
    """
    links = _links(store, names, connectors)
    known = renewals.statuses(store, {each.conn_id for each in links.values()})
    missing = {name: [each for each in connectors if (name, each) not in links] for name in names}
    refused: dict[str, str] = {}
    for (name, connector), link in sorted(links.items()):
        renewal = known.get(link.conn_id)
        if renewal is not None and renewal.status == renewals.NEEDS_REAUTH and not missing[name]:
            why = f" ({renewal.error})" if renewal.error else ""
            refused.setdefault(name, f"the tenant `{name}` must link `{connector}` again: its login is over{why}")
    unlinked = {name: _not_linked(name, found) for name, found in missing.items() if found}
    return Unready(unlinked, refused)


def _links(store: Store, names: Collection[str], connectors: Collection[str]) -> dict[tuple[str, str], Linked]:
    wanted = set(names)
    if len(wanted) == 1:
        found = [each for each in linked.of_tenant(store, next(iter(wanted))) if each.connector in connectors]
    else:
        found = [each for name in connectors for each in linked.of_connector(store, name) if each.tenant in wanted]
    return {(each.tenant, each.connector): each for each in found}


def _not_linked(tenant: str, connectors: Collection[str]) -> str:
    names = ", ".join(f"`{name}`" for name in connectors)
    return f"the tenant `{tenant}` has not linked {names}; `flowmate links add` does it, or a magic link"


class TenantFacts(Mapping[str, Any]):
    """What templates know as `tenant`: `id`, and from the store, when it is asked for, `config` and `mapping`.

    The mapping is a list of objects with `source`, `target` and `fields`, whatever form it was given in.

    :param tenant: the id
    :param flow: whose mapping it is
    """

    def __init__(self, tenant: str, flow: str) -> None:
        self._tenant = tenant
        self._flow = flow
        self._known: dict[str, Any] = {"id": tenant}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            if name == "config":
                found = tenants.find_tenant(open_store(), self._tenant)
                self._known[name] = {} if found is None else found.config
            elif name == "mapping":
                self._known[name] = self._mapping()
        return self._known[name]

    def _mapping(self) -> list[dict[str, Any]]:
        try:
            return [asdict(each) for each in mapping_for(open_store(), self._tenant, self._flow)]
        except TenantError as error:
            raise ConfigFailure(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(("id", "config", "mapping"))

    def __len__(self) -> int:
        return 3

    def __repr__(self) -> str:
        return f"TenantFacts({self._tenant!r}, {self._flow!r})"


def dates_in(conf: Mapping[str, Any], otherwise: datetime | None = None) -> dict[str, Any]:
    """Return the times that a run's conf gives to its templates, by the names that they have there.

    :param otherwise: the time where the conf gives none, of a run that was started by hand
    :raises ConfigFailure: they are none
    """
    given = conf.get(DATES)
    if given is None and otherwise is not None:
        given = dict.fromkeys(DATE_NAMES, otherwise.isoformat())
    if given is None:
        return {}
    import pendulum

    try:
        moments = {name: datetime.fromisoformat(given[name]) for name in DATE_NAMES}
        if any(moment.tzinfo is None for moment in moments.values()):
            raise ValueError("a time without its zone")
    except (TypeError, LookupError, ValueError):
        raise ConfigFailure(f"the run's conf: `{DATES}` must have {', '.join(DATE_NAMES)} in ISO 8601") from None
    found: dict[str, Any] = {name: pendulum.instance(moment) for name, moment in moments.items()}
    return {**found, **{name: form(found["logical_date"]) for name, form in FILTERS.items()}}
