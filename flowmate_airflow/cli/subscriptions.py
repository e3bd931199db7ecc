"""`flowmate webhooks sync` and `subscriptions`: what is registered with other systems."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from flowmate_airflow.build.system import CONF_FLOW, CONF_FORCE, SUBSCRIPTIONS
from flowmate_airflow.cli.asking import indented, moment, place
from flowmate_airflow.cli.common import print_json
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.cli.replay import start_run
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.store.store import open_store
from flowmate_airflow.store.subscriptions import ACTIVE, ENDED, MADE, Subscription, find

_IDS = ("id", "uuid", "subscription_id", "subscriptionId", "hook_id", "webhook_id")
"""Where the other system's id stands in most answers of connectors; the rest of them may hold secrets."""


def sync(arguments: Namespace) -> int:
    """Start a run of the DAG that registers and takes back; also of what would wait for its next try."""
    conf: dict[str, Any] = {CONF_FORCE: True}
    if arguments.flow is not None:
        conf[CONF_FLOW] = arguments.flow
    try:
        run_id = start_run(SUBSCRIPTIONS, conf)
    except CommandError as error:
        raise CommandError(f"{error}; the DAG is there when a flow's webhook has a trigger that subscribes") from None
    print(f"the run {run_id} does it; `flowmate webhooks subscriptions` shows what became of it")
    return 0


def list_subscriptions(arguments: Namespace) -> int:
    """Print each subscription with its status, and why what failed did so."""
    found = find(open_store())
    if arguments.flow is not None:
        flows = {each.flow for each in found}
        if arguments.flow not in flows:
            hint = did_you_mean(arguments.flow, flows) or "`flowmate webhooks sync` registers what is not yet"
            raise UsageError(f"the flow `{arguments.flow}` has no subscription; {hint}")
        found = [each for each in found if each.flow == arguments.flow]
    if arguments.format == "json":
        print_json([_facts(each) for each in found])
    elif found:
        print("\n".join(line for each in found for line in _lines(each)))
    else:
        print("nothing is registered with another system")
    return 0


def _lines(row: Subscription) -> Iterator[str]:
    current = row.current
    using = f", {current.use}" if current else ""
    account = f" with the Connection `{current.connection}`" if current and current.connection else ""
    yield f"{place(row.flow, row.step, row.tenant)}: {_status(row)}{using}{account}, {moment(row.updated_at)}"
    if current is not None and row.status != ENDED:
        yield indented(f"address: {current.shown_url}")
    external = _external_id(row)
    if external is not None:
        yield indented(f"its id there: {external}")
    if row.expires_at is not None:
        renewed = f", renewed {moment(row.next_at)}" if row.status == ACTIVE and row.next_at else ""
        yield indented(f"ends {moment(row.expires_at)}{renewed}")
    if row.earlier:
        yield indented(f"earlier ones that are still to be taken back: {len(row.earlier)}")
    if row.error is not None:
        again = f"; tried again {moment(row.next_at)}" if row.next_at is not None and row.status != ENDED else ""
        yield indented(f"failed: {row.error}{again}")


def _status(row: Subscription) -> str:
    return "being taken back" if row.ending else row.status


def _external_id(row: Subscription) -> str | None:
    made = row.current.subscription if row.current is not None and row.current.state == MADE else None
    if isinstance(made, dict):
        made = next((made[name] for name in _IDS if name in made), None)
    return str(made) if isinstance(made, str | int) and not isinstance(made, bool) else None


def _facts(row: Subscription) -> dict[str, Any]:
    current = row.current
    return {
        "flow": row.flow,
        "step": row.step,
        "tenant": row.tenant,
        "status": row.status,
        "ending": row.ending,
        "use": current.use if current else None,
        "connection": current.connection if current else None,
        "endpoint": current.endpoint if current else None,
        "url": current.shown_url if current else None,
        "external_id": _external_id(row),
        "expires_at": row.expires_at.isoformat() if row.expires_at else None,
        "next_at": row.next_at.isoformat() if row.next_at else None,
        "earlier": len(row.earlier),
        "error": row.error,
        "attempts": row.attempts,
        "updated_at": row.updated_at.isoformat(),
    }
