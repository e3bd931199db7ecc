"""The webhook of an OIH flow: who was let in, and as what a flow file says it.

With `requireWebhookAuth` OIH wants an HMAC where the flow names a secret for it, else the bearer token or the name and
password of one of its own users; without, it lets everybody in. Source: OIH's webhooks service.
"""

from __future__ import annotations

from typing import Any

from flowmate_airflow.catalog.manifest import Events
from flowmate_airflow.imports.ledger import Ledger
from flowmate_airflow.imports.report import Path, printable

SETTINGS: Path = ("flowSettings", "webhooks")
HEADER = "x-hmac"
_ON = (True, "true")


def is_said(ledger: Ledger) -> bool:
    """Whether a flow's settings say anything about a webhook."""
    found = ledger.get(SETTINGS)
    return isinstance(found, dict) and bool(found)


def webhook(ledger: Ledger, place: Path, connection: str, events: Events | None) -> dict[str, Any]:
    """Return a flow's `webhook`, and report what is to do so that somebody is let in.

    :param place: what is reported about when the flow has no settings of webhooks
    :param connection: the conn_id that it gets
    :param events: what the manifest says of the trigger that takes the events, where it does
    """
    settings = ledger.get(SETTINGS) if is_said(ledger) else {}
    if not settings and ledger.get(SETTINGS) is not None:
        ledger.todo_if(ledger.get(SETTINGS) != {}, SETTINGS, "it says nothing about the flow's webhook")
    is_guarded = settings.get("requireWebhookAuth") in _ON
    told = f"tell the sender the new address (`flowmate webhooks url`), and make an Airflow Connection `{connection}`"
    made: dict[str, Any] = {"scheme": "hmac", "options": {}, "connection": connection}
    if not is_guarded and events is not None:
        # OIH handed on whatever came: how the sender really signs is what the connector's author wrote down.
        made = {} if events.subscribes else {"connection": connection}
        told = "its address is registered by the connector" if events.subscribes else f"{told} with the sender's secret"
    elif is_guarded and not settings.get("hmacAuthSecret"):
        made = {"scheme": "bearer", "connection": connection}
        told += (
            " whose password is a token for the sender: OIH asked for one of its own users, by bearer token or by "
            "name and password; for the latter write `scheme: basic`, and `USER:PASSWORD` as the password"
        )
    else:
        made["options"] = _options(ledger, settings)
        told += " whose password is the secret that the sender signs with"
        if not is_guarded:
            told += (
                "; OIH let in everybody, here only who signs is: of a sender that cannot, write "
                "`scheme: token`, and of one with a signature of its own, its scheme"
            )
    if settings.get("allTenantUsers") in _ON:
        told += "; every user of the tenant was let in, here it is everybody with the secret"
    ledger.todo(SETTINGS if settings else place, f"it became the flow's `webhook`: {told}")
    return made


def _options(ledger: Ledger, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the scheme `hmac` that sign as OIH wanted it."""
    made = {"header": HEADER, "encoding": "base64"}
    for name, key in (("header", "hmacHeaderKey"), ("algorithm", "hmacAlgorithm")):
        value = settings.get(key)
        if value in (None, "") or (name == "algorithm" and value == "sha256"):
            continue
        problem = _problem(name, value)
        if problem is None:
            made[name] = value
        else:
            ledger.todo((*SETTINGS, key), f"it was left out: {printable(problem)}")
    return made


def _problem(name: str, value: Any) -> str | None:
    # Only flows with webhooks need the schemes, which take a while to import.
    from flowmate_airflow.webhooks.schemes import scheme_named

    try:
        scheme_named("hmac", {name: value})
    except ValueError as error:
        return str(error)
    return None
