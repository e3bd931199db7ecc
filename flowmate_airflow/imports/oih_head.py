"""What an OIH flow says about itself: name, kind and owners."""

from __future__ import annotations

from typing import Any

from flowmate_airflow.imports.ledger import Ledger
from flowmate_airflow.imports.oih_models import plain_id

MAX_TITLE = 250
MAX_TAG = 100

_INFO = {
    "_id": "OIH's id of the flow",
    "id": "OIH's id of the flow",
    "status": "whether a flow runs is Airflow's to say: pause or unpause the DAG",
    "createdAt": "kept by version control now",
    "updatedAt": "kept by version control now",
    "createdBy": "kept by version control now",
    "updatedBy": "kept by version control now",
    "created_at": "kept by version control now",
    "updated_at": "kept by version control now",
    "__v": "OIH's own count of changes",
    "fromTemplate": "the template that the flow was made of; nothing hangs on it here",
    "sourceTemplate": "the template that this one was made of; nothing hangs on it here",
    "cronText": "the cron expression in words",
    "errorFlow": "only a mark for the screen",
}


def head(ledger: Ledger) -> dict[str, Any]:
    """Return the keys that describe the flow; all of them are taken or reported."""
    made: dict[str, Any] = {}
    title = shortened(ledger, ("name",), MAX_TITLE)
    if title is not None:
        made["title"] = title
    description = ledger.text(("description",))
    if description is not None:
        made["description"] = description
    made |= _people(ledger)
    _tell_kind(ledger)
    for key, message in _INFO.items():
        if key in ledger.source:
            ledger.info((key,), message)
    return made


def own_id(ledger: Ledger) -> str | None:
    """Return the id that OIH gave the flow."""
    for key in ("_id", "id"):
        value = plain_id(ledger.source.get(key))
        if isinstance(value, str) and value:
            return value
    return None


def shortened(ledger: Ledger, path: tuple[str | int, ...], most: int) -> str | None:
    """Take a text and return as much of it as there is room for."""
    text = ledger.text(path)
    if text is None or len(text) <= most:
        return text
    ledger.info(path, f"it is longer than the {most} characters there is room for, and was cut")
    return f"{text[: most - 1]}…"


def _people(ledger: Ledger) -> dict[str, Any]:
    made: dict[str, Any] = {}
    owners = ledger.source.get("owners")
    if isinstance(owners, list) and owners and isinstance(owners[0], dict):
        first = plain_id(owners[0].get("id"))
        if isinstance(first, str) and 0 < len(first) <= MAX_TITLE and first.isprintable():
            made["owner"] = first
            ledger.info(("owners",), "the first one is the flow's `owner`; who may see it is up to Airflow's roles")
    tenant = plain_id(ledger.source.get("tenant"))
    if isinstance(tenant, str) and tenant.isprintable() and 0 < len(tenant) <= MAX_TAG - len("tenant:"):
        made["tags"] = [f"tenant:{tenant}"]
        ledger.info(("tenant",), "it is a tag of the flow")
    return made


def _tell_kind(ledger: Ledger) -> None:
    if ledger.source.get("type") == "ordinary":
        ledger.info(("type",), "a flow of the usual kind")
    elif "type" in ledger.source:
        message = "FlowMate knows one kind of flow: each step is a task that handles a batch of messages"
        ledger.todo(("type",), message)
