"""What the API takes and gives, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import orjson
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from flowmate_airflow.auth.consents import needs_consent
from flowmate_airflow.auth.forms import FormField, form_of
from flowmate_airflow.batches.batch import depth_is_at_most
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.plugin.links.pages import Card, Status, method_title, scopes_of
from flowmate_airflow.store.linked import Linked

MAX_DEPTH = 50
"""Levels of lists and objects in a body."""


class _Strict(Request):
    """A request whose body is JSON as RFC 8259 has it, of a depth that ends."""

    async def json(self) -> Any:
        try:
            found = orjson.loads(await self.body())
        except orjson.JSONDecodeError:
            raise HTTPException(400, "the body is not JSON") from None
        if not depth_is_at_most(found, MAX_DEPTH):
            raise HTTPException(400, f"the body is nested more than {MAX_DEPTH} levels deep")
        return found


class StrictRoute(APIRoute):
    """A route that reads its body so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_Strict(request.scope, request.receive))

        return strict


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LinkBody(_Body):
    """What a form says."""

    connector: str = Field(max_length=100)
    method: str | None = Field(default=None, max_length=100)
    fields: dict[str, Any] = Field(default={}, description="By their names.", repr=False)
    field_map: dict[str, Any] | None = None


class LoginBody(_Body):
    """Where people go on when they have linked a connector."""

    return_to: str | None = Field(default=None, max_length=2000)


class MagicBody(_Body):
    """A magic link."""

    tenant: str = Field(max_length=200)
    connectors: list[str] | None = Field(default=None, max_length=100)
    return_to: str | None = Field(default=None, max_length=2000)
    expires_in: int = Field(default=86_400, ge=60, le=2_592_000, description="Seconds.")


class MagicAnswer(BaseModel):
    """Where a browser goes to link; it is told this once."""

    url: str
    expires_at: datetime


class FieldAnswer(BaseModel):
    """A field of a form."""

    name: str
    title: str
    description: str
    required: bool
    secret: bool
    own_application: bool
    json_schema: dict[str, Any] = Field(serialization_alias="schema")


class MethodAnswer(BaseModel):
    """A way to authenticate."""

    name: str
    type: str
    title: str
    description: str
    consent: bool = Field(description="A person has to consent in a browser: ask for a `login`.")
    scopes: dict[str, str] = Field(description="What is asked for, and why.")
    hosts: list[str]
    fields: list[FieldAnswer]


class LinkAnswer(BaseModel):
    """A link."""

    connector: str
    method: str
    status: Status
    problem: str | None
    checked_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None


class ConnectorAnswer(BaseModel):
    """A connector that can be linked."""

    name: str
    title: str
    description: str
    version: str
    status: Status
    link: LinkAnswer | None
    methods: list[MethodAnswer]


class CheckAnswer(BaseModel):
    """Whether a link's credentials work."""

    problem: str | None
    is_certain: bool
    link: LinkAnswer


class RemovedAnswer(BaseModel):
    """What became of a link's tokens; `revoked` is null where the provider has no way to take them back."""

    revoked: bool | None
    problem: str | None


class TableAnswer(BaseModel):
    """A table of a source."""

    name: str
    fields: list[str]
    key: list[str]


class TablesAnswer(BaseModel):
    """What a source has, as far as it was asked; `tables` is null where it was not."""

    tables: list[TableAnswer] | None
    discovered_at: datetime | None


class MapBody(_Body):
    """Which tables and fields are read; null: as it is for all."""

    field_map: dict[str, Any] | None


class MappingBody(_Body):
    """A custom field mapping; `{}`: none of their own."""

    mapping: dict[str, Any] | list[Any] | None = Field(default=None)


class JobAnswer(BaseModel):
    """A run."""

    tenant: str
    flow: str
    dag_run_id: str
    state: str


def link_answer(row: Linked, status: Status, problem: str | None) -> LinkAnswer:
    """Return a link as the API gives it."""
    times = {name: getattr(row, name) for name in ("checked_at", "created_at", "updated_at")}
    return LinkAnswer(connector=row.connector, method=row.method, status=status, problem=problem, **times)


def link_of(card: Card) -> LinkAnswer | None:
    """Return a connector's link."""
    return None if card.row is None else link_answer(card.row, card.status, card.problem)


def connector_answer(card: Card) -> ConnectorAnswer:
    """Return a connector as the API gives it."""
    manifest = card.manifest
    return ConnectorAnswer(
        name=manifest.name,
        title=manifest.title,
        description=manifest.description,
        version=manifest.version,
        status=card.status,
        link=link_of(card),
        methods=[_method(name, method) for name, method in manifest.auth.items()],
    )


def _method(name: str, method: AuthMethod) -> MethodAnswer:
    return MethodAnswer(
        name=name,
        type=method.type,
        title=method_title(name, method),
        description=method.description,
        consent=needs_consent(method),
        scopes=dict(scopes_of(method)),
        hosts=list(method.hosts),
        fields=[_field(each) for each in form_of(method)],
    )


def _field(field: FormField) -> FieldAnswer:
    description = field.schema.get("description")
    return FieldAnswer(
        name=field.name,
        title=field.title,
        description=description if isinstance(description, str) else "",
        required=field.required,
        secret=field.secret,
        own_application=field.own_application,
        json_schema=dict(field.schema),
    )
