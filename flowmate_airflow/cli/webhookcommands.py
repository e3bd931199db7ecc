"""The commands of webhooks."""

from __future__ import annotations

from flowmate_airflow.cli.declarations import Argument, Command, Group
from flowmate_airflow.cli.inboxcommands import INBOX
from flowmate_airflow.cli.outgoingcommands import OUTGOING
from flowmate_airflow.cli.subscriptioncommands import REGISTERED

WEBHOOKS = Group(
    "webhooks",
    "Receive webhooks, and look at what came",
    (
        *INBOX,
        Command(
            "serve",
            "Receive webhooks in processes of their own, beside the API server",
            "flowmate_airflow.cli.serve:serve",
            (
                Argument(
                    ("--host",),
                    "the address to listen at (default: 127.0.0.1)",
                    {"metavar": "ADDRESS", "default": "127.0.0.1"},
                ),
                Argument(
                    ("--port",),
                    "the port to listen at (default: 8081)",
                    {"metavar": "PORT", "type": int, "default": 8081},
                ),
                Argument(
                    ("--workers",),
                    "how many processes; each counts an endpoint's rate for itself (default: 1)",
                    {"metavar": "N", "type": int, "default": 1},
                ),
            ),
            ("webhooks serve", "webhooks serve --host 0.0.0.0 --port 8081 --workers 2"),
        ),
        *REGISTERED,
        *OUTGOING,
    ),
)
