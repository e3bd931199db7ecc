"""`flowmate webhooks send`: an event, signed as its provider does it, posted to an endpoint."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from flowmate_airflow import __version__
from flowmate_airflow.cli.asking import plain
from flowmate_airflow.cli.endpoints import (
    base_of,
    endpoint_of,
    known_endpoints,
    link_secrets,
    registered_secrets,
    secrets_of,
    tenant_in,
    told_asleep,
    told_missing,
)
from flowmate_airflow.cli.errors import FAILED, CommandError, UsageError
from flowmate_airflow.cli.signing import Delivery, Draft, signed
from flowmate_airflow.settings import SettingError
from flowmate_airflow.store.endpoints import token_of
from flowmate_airflow.store.store import open_store
from flowmate_airflow.webhooks.addresses import hook_url
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.schemes import Scheme, scheme_named

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 10
ANSWER_SECONDS = 30
"""How long an answer may take, beside the time that the endpoint's flow has for it."""
MAX_BODY = 64 * 1024 * 1024
MAX_ANSWER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a delivery goes.

    :param url: it is posted to, perhaps with a token
    :param told: the same without the token
    :param signed: the address as the provider knows it, which some sign
    :param tenant: whose address it is, where each tenant has their own
    """

    endpoint: Endpoint
    url: str = field(repr=False)
    told: str
    signed: str = field(repr=False)
    tenant: str = ""


def send(arguments: Namespace) -> int:
    """Post one event, and print what was answered; exit code 1 when it was not taken."""
    draft = Draft(_data(arguments.data), arguments.content_type, arguments.event, arguments.id)
    is_url = arguments.endpoint.startswith(("http://", "https://"))
    target = _given(arguments) if is_url else _known(arguments)
    scheme = _scheme(target.endpoint)
    delivery = signed(draft, scheme, _secrets(target), target.signed, time.time())
    proof = ", ".join(scheme.proof.told()).replace("`", "")
    print(f"{scheme.methods[0]} {plain(target.told)} as {scheme.title}; the proof: {proof}", file=sys.stderr)
    status, body = _post(target, delivery, scheme.methods[0])
    print(f"{status} {_phrase(status)}".rstrip())
    if body:
        print(plain(body.decode("utf-8", "replace")).rstrip("\n"))
    is_taken = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    hint = _why_refused(target.endpoint.name) if status == HTTPStatus.UNAUTHORIZED else None
    if is_taken and not is_url:
        hint = told_asleep([target.endpoint.name])
    if hint is not None:
        print(hint, file=sys.stderr)
    return 0 if is_taken else FAILED


def _why_refused(name: str) -> str:
    try:
        is_unknown = bool(name) and name not in known_endpoints()
    except CommandError:  # the receiver's Airflow may be one that cannot be asked from here
        is_unknown = False
    if is_unknown:
        return (
            f"Airflow knows no webhook `{name}`: its flow has to be in the folder of DAGs, without import errors, "
            "for a minute or so"
        )
    return (
        "the receiver says the same to a wrong secret, a wrong token and an unknown webhook; "
        "flowmate webhooks list --status rejected has the reason, unless the webhook is unknown"
    )


def _given(arguments: Namespace) -> _Target:
    """Return a target that the user gave as an address."""
    if arguments.tenant is not None:
        raise UsageError("--tenant goes with an endpoint; a whole address was given already")
    if arguments.url is not None:
        raise UsageError("--url is the API server of an endpoint; a whole address was given already")
    if arguments.scheme is None:
        raise UsageError("--scheme says how to sign for an address, such as --scheme standard --connection my_hook")
    endpoint = Endpoint("", scheme=arguments.scheme, connection=arguments.connection)
    return _Target(endpoint, arguments.endpoint, arguments.endpoint, arguments.endpoint)


def _known(arguments: Namespace) -> _Target:
    """Return the target that an endpoint is."""
    endpoint = endpoint_of(arguments)
    if arguments.scheme is not None:
        endpoint = replace(endpoint, scheme=arguments.scheme, options={})
    if arguments.connection is not None:
        endpoint = replace(endpoint, connection=arguments.connection)
    tenant = tenant_in(arguments, endpoint)
    base = base_of(arguments.url, "--url", ", such as --url http://localhost:8080")
    needs_token = tenant or _scheme(endpoint).needs_url_token
    token = token_of(open_store(), endpoint.name, tenant) if needs_token else None
    url = hook_url(endpoint.name, token, base, tenant=tenant)
    try:
        as_told = hook_url(endpoint.name, token, tenant=tenant)
    except SettingError:
        as_told = url
    return _Target(endpoint, url, hook_url(endpoint.name, None, base, tenant=tenant), as_told, tenant)


def _scheme(endpoint: Endpoint) -> Scheme:
    try:
        return scheme_named(endpoint.scheme, endpoint.options)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _secrets(target: _Target) -> tuple[str, ...]:
    endpoint, tenant = target.endpoint, target.tenant
    if endpoint.name and (tenant or endpoint.connection is None):
        own = registered_secrets(open_store(), endpoint.name, tenant) or link_secrets(endpoint, tenant)
        if own:
            return own
    if endpoint.connection is None:
        return ()
    try:
        return secrets_of(endpoint.connection)
    except LookupError as error:
        raise CommandError(told_missing(error, endpoint.connection)) from None


def _data(given: str) -> bytes:
    if not given.startswith("@"):
        return given.encode(errors="surrogateescape")
    try:
        with Path(given[1:]).open("rb") as file:
            data = file.read(MAX_BODY + 1)
    except OSError as error:
        raise UsageError(f"--data: {given[1:]} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BODY:
        raise UsageError(f"--data: {given[1:]} has more than {MAX_BODY:,} bytes")
    return data


def _post(target: _Target, delivery: Delivery, method: str) -> tuple[int, bytes]:
    import requests

    seconds = ANSWER_SECONDS + (target.endpoint.reply or 0)
    try:
        with requests.request(
            method,
            target.url,
            data=delivery.body,
            headers={**dict(delivery.headers), "user-agent": f"FlowMate/{__version__}"},
            timeout=(CONNECT_SECONDS, seconds),
            allow_redirects=False,
            stream=True,
            auth=_as_it_is,
        ) as answer:
            return answer.status_code, answer.raw.read(MAX_ANSWER, decode_content=True)
    except requests.Timeout:
        raise CommandError(f"{plain(target.told)} has not answered in {seconds:g} seconds") from None
    except Exception as error:  # requests lets through others; the texts of all of them hold the address
        raise CommandError(f"{plain(target.told)} cannot be reached ({type(error).__name__})") from None


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate by nothing more: without this, requests would look for a password in the user's .netrc."""
    return request


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in {each.value for each in HTTPStatus} else ""
