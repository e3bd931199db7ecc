"""The commands of webhooks that we send."""

from __future__ import annotations

from flowmate_airflow.cli.declarations import FORMAT, Argument, Command

_TARGET = Argument(("--target",), "to this target only", {"metavar": "CONN_ID"})
_EVENT = Argument(("--event",), "of this event only", {"metavar": "NAME"})

OUTGOING = (
    Command(
        "sent",
        "List what other applications were told, or show one notice with its body",
        "flowmate_airflow.cli.outgoing:list_sent",
        (
            Argument(("id",), "show this one (default: list all)", {"metavar": "ID", "type": int, "nargs": "?"}),
            *(_TARGET, _EVENT),
            Argument(
                ("--status",), "only what has this status", {"choices": ["waiting", "sent", "failed"], "default": None}
            ),
            Argument(
                ("--limit",), "at most so many; 0 is all (default: 50)", {"metavar": "N", "type": int, "default": 50}
            ),
            FORMAT,
        ),
        ("webhooks sent", "webhooks sent 17", "webhooks sent --target my_app --status failed --format json"),
    ),
    Command(
        "resend",
        "Tell other applications again, by notices with the same ids",
        "flowmate_airflow.cli.outgoing:resend",
        (
            Argument(("id",), "these notices", {"metavar": "ID", "type": int, "nargs": "*"}),
            Argument(("--failed",), "all that have failed for good", {"action": "store_true"}),
            *(_TARGET, _EVENT),
        ),
        ("webhooks resend 17 18", "webhooks resend --failed --target my_app"),
    ),
    Command(
        "ping",
        "Send a notice for trial to one target, at once",
        "flowmate_airflow.cli.outgoing:ping",
        (Argument(("target",), "the conn_id of its Connection", {"metavar": "CONN_ID"}),),
        ("webhooks ping my_app",),
    ),
)
