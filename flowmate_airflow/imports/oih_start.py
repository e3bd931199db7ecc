"""What starts an OIH flow: its cron, a webhook, or a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Function, Manifest
from flowmate_airflow.flows.errors import FlowError
from flowmate_airflow.flows.schedules import parse_schedule
from flowmate_airflow.imports.ledger import Ledger
from flowmate_airflow.imports.oih_use import Used, used_by
from flowmate_airflow.imports.oih_webhook import SETTINGS, is_said, webhook
from flowmate_airflow.imports.report import Path

COMPONENTS = ("webhook", "webhook-component", "webhook_component")
"""What elastic.io's component that only hands on what was posted is called, as a connector."""
RECEIVE = "receive"
"""Its one trigger. Source: the component's own descriptor."""
NO_MESSAGES = "no messages come to the first step, so there is nothing to transform before it"
_NOT_SAID = (
    "the flow has no cron: in OIH a webhook or a person started it, and nothing in it says which; "
    "add a `webhook`, or a `schedule`"
)


@dataclass(frozen=True, slots=True)
class Start:
    """What starts a flow.

    :param keys: the flow file's keys for it
    :param is_taken: whether the first node only handed on what was posted, so that it is no step
    :param why_no_map: why no `map` can stand before the first step
    """

    keys: Mapping[str, Any]
    is_taken: bool = False
    why_no_map: str | None = NO_MESSAGES

    @property
    def has_webhook(self) -> bool:
        """Whether events start the flow."""
        return "webhook" in self.keys


def start(ledger: Ledger, first: int, flow_id: str, connectors: Mapping[str, str], catalog: Catalog) -> Start:
    """Return what starts a flow; all that it says about it is taken or reported.

    :param first: where the node stands that OIH starts the flow with
    :param connectors: names of connectors by componentId
    :param catalog: the connectors whose manifests are known
    """
    path: Path = ("graph", "nodes", first)
    used = used_by(ledger.get(path), connectors)
    if used.connector in COMPONENTS and used.name == RECEIVE:
        _without_cron(ledger, "a webhook starts the flow, which can have no `schedule` beside; it was left out")
        return Start({"webhook": webhook(ledger, _place(ledger, path), flow_id, None)}, is_taken=True)
    if _cron(ledger):
        if ledger.get(SETTINGS) is not None:
            ledger.todo(SETTINGS, "OIH serves no webhook of a flow with a cron, unless its operator says so; left out")
        return Start(_schedule(ledger))
    manifest = catalog.get(used.connector)
    known = manifest if isinstance(manifest, Manifest) else None
    trigger = known.triggers.get(used.name) if known is not None else None
    is_action = known is not None and used.name in known.actions
    if not (is_said(ledger) or is_action or (trigger is not None and trigger.webhook is not None)):
        ledger.todo(("cron",), _NOT_SAID)
        return Start({})
    _without_cron(ledger, "a webhook starts the flow")
    events = trigger.webhook if trigger is not None else None
    made = webhook(ledger, _place(ledger, path), flow_id, events)
    if is_action:
        return Start({"webhook": made}, why_no_map=None)
    _tell_trigger(ledger, _place(ledger, path), used, trigger)
    why = "a trigger takes the events as they come: nothing can transform them before it"
    return Start({"webhook": made}, why_no_map=why)


def _tell_trigger(ledger: Ledger, path: Path, used: Used, trigger: Function | None) -> None:
    if trigger is None:
        message = f"`{used.use}` gets the events: its manifest is not known, and has to say `webhook` of this trigger"
        ledger.todo(path, message)
    elif trigger.webhook is None:
        ledger.todo(path, f"`{used.use}` should get the events, but its manifest has no `webhook` for this trigger")
    else:
        ledger.info(path, f"`{used.use}` gets the events")


def _place(ledger: Ledger, node: Path) -> Path:
    """Return the path of what names a node's function."""
    return (*node, "command" if "function" not in ledger.get(node) and "command" in ledger.get(node) else "function")


def _cron(ledger: Ledger) -> str:
    cron = ledger.source.get("cron")
    return cron.strip() if isinstance(cron, str) else ""


def _without_cron(ledger: Ledger, message: str) -> None:
    if "cron" in ledger.source:
        ledger.todo_if(ledger.source["cron"], ("cron",), message)


def _schedule(ledger: Ledger) -> dict[str, Any]:
    fields = _cron(ledger).split()
    wanted = " ".join(fields[1:] if len(fields) == 6 and fields[0] in ("0", "00") else fields)
    try:
        if len(wanted.split()) != 5 and not wanted.startswith("@"):
            raise ValueError("FlowMate's cron has five fields and no seconds")
        parse_schedule(wanted)
    except (ValueError, FlowError) as error:
        ledger.todo(("cron",), f"it was left out: {error}; write a `schedule` by hand")
        return {}
    seconds = "; its field for seconds was left out" if len(fields) == 6 else ""
    message = "it is the `schedule`, in UTC: OIH took it in the zone of its server, so check `timezone`"
    ledger.todo(("cron",), message + seconds)
    return {"schedule": wanted, "timezone": "UTC"}
