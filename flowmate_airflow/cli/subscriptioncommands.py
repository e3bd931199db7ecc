"""The commands of addresses that are registered with other systems."""

from __future__ import annotations

from flowmate_airflow.cli.declarations import FORMAT, Argument, Command

_ANY_FLOW = Argument(("flow",), "the flow's id (default: all flows)", {"metavar": "FLOW", "nargs": "?"})

SYNC = Command(
    "sync",
    "Register addresses with other systems now, and take back those of flows that are off",
    "flowmate_airflow.cli.subscriptions:sync",
    (_ANY_FLOW,),
    ("webhooks sync", "webhooks sync orders"),
)
SUBSCRIPTIONS = Command(
    "subscriptions",
    "List what is registered with other systems, until when, and what failed",
    "flowmate_airflow.cli.subscriptions:list_subscriptions",
    (_ANY_FLOW, FORMAT),
    ("webhooks subscriptions", "webhooks subscriptions orders --format json"),
)

REGISTERED = (SYNC, SUBSCRIPTIONS)
