"""How pages are made: templates, and what they show of connectors, methods and fields."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flowmate_airflow.auth.forms import FormField
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.catalog import Catalog, configured_catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2
from flowmate_airflow.plugin.links.browsers import TOKEN_FIELD, form_token, root
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.plugin.links.people import Person
from flowmate_airflow.store import linked as links
from flowmate_airflow.store import renewals
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.store import Store

TEMPLATES = Path(__file__).parent / "templates"
STYLE = "style.css"
FIELD = "field."
"""Stands before the names of a method's fields in forms."""
_CATALOG_SECONDS = 30.0
_known: tuple[float, Catalog] | None = None


def catalog() -> Catalog:
    """Return the catalog, read again from time to time."""
    global _known
    moment = time.monotonic()
    if _known is None or moment - _known[0] > _CATALOG_SECONDS:
        _known = moment, configured_catalog()
    return _known[1]


def manifest_for(connector: str) -> Manifest:
    """Return a connector that can be linked.

    :raises PageError: there is none
    """
    found = catalog().get(connector)
    if not isinstance(found, Manifest) or not found.auth:
        raise PageError(404, "No such connector", "There is no connector of that name that can be linked.")
    return found


Status = Literal["available", "linked", "needs_attention"]


@dataclass(frozen=True, slots=True)
class Card:
    """A connector as a tenant's people see it.

    :param problem: why it needs attention, where that is known
    """

    manifest: Manifest
    row: Linked | None
    status: Status
    problem: str | None = None


def cards(store: Store, tenant: str, connectors: Iterable[str] | None = None) -> list[Card]:
    """Return the connectors that a tenant can link, with how they are.

    :param connectors: only these, in this order; None: all, those that are linked first
    :raises StoreError: the store cannot be read
    """
    known = catalog()
    rows = {row.connector: row for row in links.of_tenant(store, tenant)}
    renewed = renewals.statuses(store, [row.conn_id for row in rows.values()])
    names = list(known.names() if connectors is None else connectors)
    manifests = [found for found in map(known.get, names) if isinstance(found, Manifest) and found.auth]
    made = [card_of(manifest, rows.get(manifest.name), renewed) for manifest in manifests]
    return made if connectors is not None else sorted(made, key=lambda card: (card.row is None, card.manifest.title))


def card_of(manifest: Manifest, row: Linked | None, renewed: Mapping[str, renewals.Renewal]) -> Card:
    """Return how a connector is for a tenant."""
    if row is None or row.is_template:
        return Card(manifest, None, "available")
    renewal = renewed.get(row.conn_id)
    lost = renewal is not None and renewal.status != renewals.GOOD
    problem = (renewal.error if renewal is not None and lost else None) or row.problem
    return Card(manifest, row, "needs_attention" if lost or problem else "linked", problem)


def method_title(name: str, method: AuthMethod) -> str:
    """Return what people call a method."""
    return method.title or _METHODS.get(method.type, name)


_METHODS: dict[str, str] = {
    "none": "No credentials",
    "basic": "User name and password",
    "api_key": "API key",
    "bearer": "Access token",
    "oauth1": "Sign in",
    "oauth2": "Sign in",
    "session": "User name and password",
}


def scopes_of(method: AuthMethod) -> Mapping[str, str]:
    """Return what is asked for, and why."""
    return method.scopes if isinstance(method, OAuth1 | OAuth2) else {}


def input_of(field: FormField, value: str, problem: str | None) -> dict[str, Any]:
    """Return what a template needs to show a field.

    :param value: what was typed before; never of a secret
    """
    schema = field.schema
    kind = schema.get("type")
    choices = schema.get("enum") or []
    widget = "text"
    if choices:
        widget = "select"
    elif kind == "boolean":
        widget = "checkbox"
    elif kind in ("object", "array") or field.part == "extra" or field.name == "private_key":
        widget = "textarea"
    elif field.secret:
        widget = "password"
    elif kind in ("integer", "number") or field.part == "port":
        widget = "number"
    return {
        "name": f"{FIELD}{field.name}",
        "field": field,
        "widget": widget,
        "choices": list(map(text, choices)),
        "value": value or text(field.default),
        "step": "1" if kind == "integer" or field.part == "port" else "any",
        "description": text(schema.get("description")),
        "problem": problem,
    }


def sentence(words: str) -> str:
    """Return an error's text as a sentence of a page."""
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith(('.', '!', '?', '…')) else '.'}"


def text(value: Any) -> str:
    """Return a value as it stands in a form."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def render(
    request: Request,
    template: str,
    *,
    person: Person | None = None,
    who: str | None = None,
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """Return a page.

    :param who: whom its forms are made for, where it has any
    """
    response = HTMLResponse(status_code=status)
    token = form_token(request, response, who) if who is not None else ""
    made = (
        _environment()
        .get_template(template)
        .render(root=root(request), person=person, token=token, token_field=TOKEN_FIELD, **values)
    )
    response.body = made.encode(errors="replace")
    response.headers["content-length"] = str(len(response.body))
    return response


def message(
    request: Request, status: int, title: str, text: str, onward: Iterable[tuple[str, str]] = (), kind: str = "error"
) -> HTMLResponse:
    """Return a page that says something.

    :param onward: addresses where one can go on, with what the links to them say
    :param kind: `error` or `good`
    """
    return render(request, "message.html", status=status, title=title, text=text, onward=list(onward), kind=kind)


def refused(request: Request, error: PageError) -> HTMLResponse:
    """Return the page of an error."""
    return message(request, error.status, error.title, error.text, [error.onward] if error.onward else [])


def leave(request: Request, url: str, name: str) -> HTMLResponse:
    """Return a page that goes on to another site by itself.

    A redirect of the form would not do: browsers hold it against `form-action`, and the other site's address may stand
    in what was just filled in.
    """
    return render(request, "leave.html", url=url, name=name)


def style() -> Response:
    """Return the pages' style sheet."""
    headers = {"cache-control": "public, max-age=3600"}
    return Response(_style(), media_type="text/css", headers=headers)


@lru_cache(maxsize=1)
def _style() -> bytes:
    return (TEMPLATES / STYLE).read_bytes()


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"method_title": method_title, "scopes_of": scopes_of}
    made.filters["sentence"] = sentence
    return made
