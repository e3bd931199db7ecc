"""What the API does for one tenant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Body, Depends, HTTPException, Response

from flowmate_airflow.auth import links, magic, tenants
from flowmate_airflow.auth.following import follow
from flowmate_airflow.auth.linkchecks import check
from flowmate_airflow.auth.names import DEFAULT_TENANT
from flowmate_airflow.auth.unlinking import unlink
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.fieldmaps import check_field_map
from flowmate_airflow.plugin.links.bodies import (
    CheckAnswer,
    ConnectorAnswer,
    LinkAnswer,
    LinkBody,
    LoginBody,
    MagicAnswer,
    MapBody,
    MappingBody,
    RemovedAnswer,
    StrictRoute,
    TableAnswer,
    TablesAnswer,
    connector_answer,
    link_of,
)
from flowmate_airflow.plugin.links.callers import MAGIC_RIGHTS, Caller, current
from flowmate_airflow.plugin.links.discovered import known_tables, table_fields
from flowmate_airflow.plugin.links.pages import Card, card_of, cards, catalog
from flowmate_airflow.steps.selection import SelectionError, select_streams
from flowmate_airflow.store import linked, renewals
from flowmate_airflow.store.store import open_store
from flowmate_airflow.store.tenants import find_flow, find_tenant

LOGIN_LIFE = timedelta(minutes=30)

_config: Any = Body()
_caller: Any = Depends(current)


def tenant_routes(who: Callable[..., Caller]) -> APIRouter:
    """Return the routes.

    :param who: the dependency that says who calls, and for which tenant
    """
    router = APIRouter(route_class=StrictRoute, dependencies=[Depends(who)])
    router.get("/connectors")(list_connectors)
    router.get("/links")(list_links)
    router.post("/links", status_code=201)(add_link)
    router.get("/links/{connector}")(show_link)
    router.post("/links/{connector}/login", status_code=201)(login)
    router.delete("/links/{connector}")(remove_link)
    router.post("/links/{connector}/check")(check_link)
    router.get("/links/{connector}/tables")(tables)
    router.get("/links/{connector}/field-map")(show_field_map)
    router.put("/links/{connector}/field-map")(set_field_map)
    router.get("/config")(show_config)
    router.put("/config", status_code=204)(set_config)
    router.get("/flows/{flow}/mapping")(show_mapping)
    router.put("/flows/{flow}/mapping")(set_mapping)
    return router


def list_connectors(caller: Caller = _caller) -> list[ConnectorAnswer]:
    """List the connectors that can be linked, and how they are."""
    return [connector_answer(card) for card in cards(open_store(), caller.tenant)]


def list_links(caller: Caller = _caller) -> list[LinkAnswer]:
    """List what is linked."""
    return [found for card in cards(open_store(), caller.tenant) if (found := link_of(card)) is not None]


def add_link(body: LinkBody, caller: Caller = _caller) -> LinkAnswer:
    """Link a connector by what a form says, or again. One that needs a consent takes a `login` instead."""
    name = links.manifest_in(catalog(), body.connector).name
    caller.check("POST" if linked.find(open_store(), caller.tenant, name) is None else "PUT", name)
    links.link(catalog(), caller.tenant, body.connector, body.method, body.fields, field_map=body.field_map)
    follow(catalog(), caller.tenant, body.connector)
    return _link(caller.tenant, body.connector)


def show_link(connector: str, caller: Caller = _caller) -> LinkAnswer:
    """Show a link."""
    return _link(caller.tenant, connector)


def login(connector: str, body: LoginBody, caller: Caller = _caller) -> MagicAnswer:
    """Return an address for the person's browser, good once, at which they link this connector."""
    for method in MAGIC_RIGHTS:
        caller.check(method, connector)
    made = magic.make(
        open_store(),
        catalog(),
        caller.tenant,
        connectors=[connector],
        return_to=body.return_to,
        life=LOGIN_LIFE,
        made_by=caller.name,
    )
    return MagicAnswer(url=made.url, expires_at=made.link.expires_at)


def remove_link(connector: str, caller: Caller = _caller) -> RemovedAnswer:
    """Unlink: give the tokens back where the provider takes them, and remove what is kept."""
    _link(caller.tenant, connector)
    done = unlink(catalog(), caller.tenant, connector)
    return RemovedAnswer(revoked=done and done.revoked, problem=done and done.problem)


def check_link(connector: str, caller: Caller = _caller) -> CheckAnswer:
    """Find out whether a link's credentials work."""
    _link(caller.tenant, connector)
    found = check(catalog(), caller.tenant, connector)
    link = _link(caller.tenant, connector)
    return CheckAnswer(problem=found.problem, is_certain=found.is_certain, link=link)


def tables(connector: str, caller: Caller = _caller) -> TablesAnswer:
    """Show the tables and fields that a link's source had when it was asked last."""
    found = known_tables(open_store(), *_row(caller.tenant, connector))
    if found is None:
        return TablesAnswer(tables=None, discovered_at=None)
    streams, moment = found
    named = [TableAnswer(name=each.key, fields=table_fields(each), key=list(each.primary_key)) for each in streams]
    return TablesAnswer(tables=named, discovered_at=moment)


def show_field_map(connector: str, caller: Caller = _caller) -> MapBody:
    """Show which tables and fields are read."""
    if caller.tenant == DEFAULT_TENANT:
        found = linked.find(open_store(), caller.tenant, connector)
        return MapBody(field_map=None if found is None else found.field_map)
    return MapBody(field_map=_row(caller.tenant, connector)[1].field_map)


def set_field_map(connector: str, body: MapBody, caller: Caller = _caller) -> MapBody:
    """Choose which tables and fields are read; those that the source is known not to have are refused.

    That of the tenant `default` is the template of the others, and needs no link.
    """
    if caller.tenant != DEFAULT_TENANT:
        manifest, row = _row(caller.tenant, connector)
        if body.field_map is not None:
            _check_map(manifest, row, body.field_map)
    saved = links.set_field_map(caller.tenant, connector, body.field_map, catalog=catalog())
    return MapBody(field_map=saved.field_map)


def show_config(caller: Caller = _caller) -> dict[str, Any]:
    """Show what is said of the tenant."""
    found = find_tenant(open_store(), caller.tenant)
    return {} if found is None else found.config


def set_config(config: dict[str, Any] = _config, caller: Caller = _caller) -> Response:
    """Say something of the tenant, in place of what was said before."""
    tenants.save_config(caller.tenant, config)
    return Response(status_code=204)


def show_mapping(flow: str, caller: Caller = _caller) -> MappingBody:
    """Show the tenant's custom field mapping of a flow."""
    return MappingBody(mapping=find_flow(open_store(), caller.tenant, _flow(flow)).mapping)


def set_mapping(flow: str, body: MappingBody, caller: Caller = _caller) -> MappingBody:
    """Set it."""
    given = {} if body.mapping is None else body.mapping
    return MappingBody(mapping=tenants.set_flow(caller.tenant, _flow(flow), mapping=given).mapping)


def _flow(flow: str) -> str:
    if not 0 < len(flow) <= 250 or not flow.isprintable():
        raise HTTPException(404, "there is no such flow")
    return flow


def _row(tenant: str, connector: str) -> tuple[Manifest, linked.Linked]:
    """Return a connector and the tenant's link to it.

    :raises HTTPException: 404
    """
    card = _card(tenant, connector)
    assert card.row is not None
    return card.manifest, card.row


def _link(tenant: str, connector: str) -> LinkAnswer:
    found = link_of(_card(tenant, connector))
    assert found is not None
    return found


def _card(tenant: str, connector: str) -> Card:
    store = open_store()
    manifest = catalog().get(connector)
    row = linked.find(store, tenant, connector) if isinstance(manifest, Manifest) else None
    if not isinstance(manifest, Manifest) or row is None or row.is_template:
        raise HTTPException(404, "there is no such link")
    return card_of(manifest, row, renewals.statuses(store, [row.conn_id]))


def _check_map(manifest: Manifest, row: linked.Linked, field_map: dict[str, Any]) -> None:
    try:
        checked = check_field_map(field_map)
        found = known_tables(open_store(), manifest, row)
        if found is not None:
            select_streams(checked, found[0])
    except SelectionError as error:
        raise HTTPException(422, "; ".join(error.told())) from None
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
