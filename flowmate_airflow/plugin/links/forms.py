"""The pages on which people link a connector, and unlink it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response

from flowmate_airflow.auth import links
from flowmate_airflow.auth.connections import read
from flowmate_airflow.auth.consents import context_of, needs_consent
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.following import follow
from flowmate_airflow.auth.forms import FormError, form_of, shown_before
from flowmate_airflow.auth.returns import ReturnError, checked_return, with_outcome
from flowmate_airflow.auth.unlinking import unlink
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.plugin.links.browsers import check_form
from flowmate_airflow.plugin.links.consents import begin_consent, redirect_uri_for
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.plugin.links.pages import FIELD, cards, catalog, input_of, leave, manifest_for, render, text
from flowmate_airflow.plugin.links.people import Person
from flowmate_airflow.settings import SettingError
from flowmate_airflow.store import linked
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.linked import Linked, SymlinkError
from flowmate_airflow.store.store import open_store

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 300
STATUS = {"config": 409, "refused": 422, "needs_reauth": 422, "transient": 503}

Fields = dict[str, str]


async def form_fields(request: Request) -> Fields:
    """Return what a form says; of fields that are there several times, the last."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise PageError(415, "Not a form", "This address takes what its own form sends.")
    try:
        text = (await request.body()).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"))
    except HTTPException:
        raise
    except ValueError:
        raise PageError(400, "Not a form", "What was sent cannot be read.") from None


def add_pages(router: APIRouter, base: str, home: str, who: Callable[..., Person]) -> None:
    """Add the pages of those who link.

    :param base: the path below which they are
    :param home: the path of the page with the connectors
    :param who: the dependency that says who it is
    """
    person_: Any = Depends(who)
    fields_: Any = Depends(form_fields)

    @router.get(home)
    def overview(request: Request, done: str = Query(default="", max_length=100), person: Person = person_) -> Response:
        return show_overview(request, person, done)

    @router.get(f"{base}/new/{{connector}}")
    def form(
        request: Request, connector: str, method: str | None = Query(default=None), person: Person = person_
    ) -> Response:
        manifest = _manifest(person, connector)
        return show_form(request, person, manifest, _method(manifest, method, person))

    @router.post(f"{base}/new/{{connector}}")
    def submit(
        request: Request,
        connector: str,
        person: Person = person_,
        fields: Fields = fields_,
    ) -> Response:
        check_form(request, fields, _who(person))
        manifest = _manifest(person, connector)
        return _submitted(request, person, manifest, fields)

    @router.get(f"{base}/remove/{{connector}}")
    def ask(request: Request, connector: str, person: Person = person_) -> Response:
        manifest = _manifest(person, connector, "DELETE")
        return render(request, "remove.html", person=person, who=_who(person), manifest=manifest, error=None)

    @router.post(f"{base}/remove/{{connector}}")
    def remove(request: Request, connector: str, person: Person = person_, fields: Fields = fields_) -> Response:
        check_form(request, fields, _who(person))
        return _removed(request, person, _manifest(person, connector, "DELETE"))


def show_overview(request: Request, person: Person, done: str) -> Response:
    """Return the page with a tenant's connectors.

    :param done: the connector that was just linked
    """
    person.check("GET")
    shown = cards(open_store(), person.tenant, person.connectors)
    notice = next((card for card in shown if card.manifest.name == done and card.row is not None), None)
    return render(request, "overview.html", person=person, cards=shown, notice=notice)


def show_form(
    request: Request,
    person: Person,
    manifest: Manifest,
    chosen: tuple[str, AuthMethod] | None,
    *,
    values: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
    error: str | None = None,
    status: int = 200,
) -> Response:
    """Return the form of a connector's method, or the choice between its methods."""
    row = linked.find(open_store(), person.tenant, manifest.name)
    is_linked = row is not None and not row.is_template
    if chosen is None:
        return render(request, "choose.html", person=person, manifest=manifest, is_linked=is_linked)
    name, method = chosen
    problems = problems or {}
    if values is None:
        values = _before(row, name, method) if is_linked else {}
    fields = form_of(method)
    shown = [
        (field, input_of(field, "" if field.secret else values.get(field.name, ""), problems.get(field.name)))
        for field in fields
    ]
    others = [text for key, text in problems.items() if key not in {field.name for field in fields}]
    return render(
        request,
        "form.html",
        person=person,
        who=_who(person),
        status=status,
        manifest=manifest,
        method_name=name,
        method=method,
        inputs=[made for field, made in shown if not field.own_application],
        own_application=[made for field, made in shown if field.own_application],
        consents=needs_consent(method),
        redirect_uri=_redirect_uri(person, manifest, name),
        is_linked=is_linked,
        error=error or " ".join(others) or None,
        has_problems=bool(problems),
        several=len(manifest.auth) > 1,
    )


def went_well(request: Request, person: Person, connector: str, *, is_form: bool) -> Response:
    """Return where people go on who have linked something."""
    if person.return_to:
        try:
            url = with_outcome(checked_return(person.return_to), connector, "linked")
        except (ReturnError, SettingError):
            pass  # it was allowed once
        else:
            return leave(request, url, "") if is_form else RedirectResponse(url, 303)
    home = person.home
    return RedirectResponse(f"{home}{'&' if '?' in home else '?'}done={connector}", 303)


def _submitted(request: Request, person: Person, manifest: Manifest, fields: Fields) -> Response:
    chosen = _method(manifest, fields.get("method") or None, person)
    if chosen is None:
        raise PageError(400, "No such method", "The form does not say which method it is for.")
    name, method = chosen
    values = {key.removeprefix(FIELD): text for key, text in fields.items() if key.startswith(FIELD)}
    try:
        if needs_consent(method):
            return begin_consent(request, person, manifest, name, method, values)
        links.link(catalog(), person.tenant, manifest.name, name, values)
    except FormError as error:
        return show_form(request, person, manifest, chosen, problems=error.problems, status=422, values=values)
    except LoginError as error:
        return show_form(request, person, manifest, chosen, error=error.text, status=STATUS[error.kind], values=values)
    except StoreError as error:
        return show_form(request, person, manifest, chosen, error=str(error), status=503, values=values)
    follow(catalog(), person.tenant, manifest.name)
    return went_well(request, person, manifest.name, is_form=True)


def _removed(request: Request, person: Person, manifest: Manifest) -> Response:
    try:
        unlink(catalog(), person.tenant, manifest.name)
    except (LoginError, SymlinkError) as error:
        text = str(error)
        if isinstance(error, SymlinkError) and person.user is None:
            text = error.text_for(person.tenant)
        return render(
            request, "remove.html", person=person, who=_who(person), manifest=manifest, error=text, status=409
        )
    return RedirectResponse(person.home, 303)


def _manifest(person: Person, connector: str, method: str | None = None) -> Manifest:
    """Return a connector that a person may link or link again, or do something else with.

    :param method: for that; see :meth:`Person.check`
    """
    manifest = manifest_for(connector)
    person.check(method or person.link_method(connector), connector)
    return manifest


def _method(manifest: Manifest, name: str | None, person: Person) -> tuple[str, AuthMethod] | None:
    """Return a method; None where one has to be chosen."""
    if name is None and len(manifest.auth) > 1:
        return None
    try:
        return links.method_in(manifest, name)
    except links.LinkError as error:
        raise PageError(404, "No such method", error.text, (person.home, "Back")) from None


def _before(row: Linked | None, name: str, method: AuthMethod) -> dict[str, str]:
    """Return what the form of a link says that is no secret."""
    if row is None or row.symlink is not None or row.method != name:
        return {}
    stored = read(row.conn_id)
    return {} if stored is None else {key: text(value) for key, value in shown_before(stored, method).items()}


def _redirect_uri(person: Person, manifest: Manifest, method: str) -> str | None:
    """Return the address that the provider must know; None where nobody knows it."""
    try:
        return redirect_uri_for(manifest.name, context_of(person.tenant, manifest.name, method))
    except SettingError:
        return None


def _who(person: Person) -> str:
    return f"{person.name} {person.tenant}"
