"""The commands of what webhooks delivered, and of the addresses that they are posted to."""

from __future__ import annotations

from flowmate_airflow.cli.declarations import FORMAT, Argument, Command

_ANY_ENDPOINT = Argument(
    ("endpoint",),
    "a flow's id, or FLOW~STEP of a step that waits (default: all)",
    {"metavar": "ENDPOINT", "nargs": "?"},
)
_CONNECTORS = Argument(
    ("--connectors",),
    "your own connectors: a folder with a folder for each (default: the option connectors_folder)",
    {"metavar": "DIR"},
)
_SINCE = Argument(
    ("--since",), "received since then: a time ago, such as 2h, or a moment in ISO 8601", {"metavar": "WHEN"}
)

_TENANT = Argument(("--tenant",), "of this tenant only", {"metavar": "TENANT"})
_TENANTS = Argument(
    ("--tenant",), "at the address of this tenant, where each has one of their own", {"metavar": "TENANT"}
)

LIST = Command(
    "list",
    "List what was delivered, the newest first, and how many each endpoint has",
    "flowmate_airflow.cli.webhooks:list_deliveries",
    (
        _ANY_ENDPOINT,
        Argument(
            ("--status",),
            "of this status only; duplicate: those that came more than once",
            {"choices": ["received", "claimed", "delivered", "failed", "rejected", "duplicate"]},
        ),
        _TENANT,
        _SINCE,
        Argument(("--limit",), "at most so many; 0 is all (default: 50)", {"metavar": "N", "type": int, "default": 50}),
        FORMAT,
    ),
    ("webhooks list", "webhooks list paid_orders --status failed --since 2h", "webhooks list --limit 0 --format json"),
)

SHOW = Command(
    "show",
    "Show one delivery: its request, its event, and what became of it",
    "flowmate_airflow.cli.webhooks:show_delivery",
    (
        Argument(("id",), "the delivery's id", {"metavar": "ID", "type": int}),
        Argument(("--payload",), "print the event and its request only, whole, as JSON", {"action": "store_true"}),
        FORMAT,
    ),
    ("webhooks show 17", "webhooks show 17 --payload | jq .event.data"),
)

REPLAY = Command(
    "replay",
    "Let deliveries be received again, so that a run deals with them once more",
    "flowmate_airflow.cli.webhookreplay:replay",
    (
        _ANY_ENDPOINT,
        Argument(("--id",), "these deliveries only", {"metavar": "ID", "type": int, "nargs": "+", "action": "extend"}),
        _TENANT,
        _SINCE,
        Argument(("--until",), "received before then", {"metavar": "WHEN"}),
        Argument(("--failed",), "only those that runs have failed with", {"action": "store_true"}),
        Argument(
            ("--to",),
            "at another endpoint, such as that of a flow that was renamed; what waits goes there, too",
            {"metavar": "OTHER_ENDPOINT"},
        ),
        Argument(
            ("--force",),
            "also those that a run has, without asking Airflow whether it is over",
            {"action": "store_true"},
        ),
        Argument(("--yes",), "do not ask", {"action": "store_true"}),
    ),
    (
        "webhooks replay paid_orders --failed",
        "webhooks replay --id 17 18",
        "webhooks replay paid_orders --tenant acme --failed",
        "webhooks replay paid_orders --since 2026-01-31T08:00 --until 2026-01-31T09:00",
        "webhooks replay paid_orders --failed --to sales",
    ),
)

SEND = Command(
    "send",
    "Sign an event as its provider does, and post it",
    "flowmate_airflow.cli.webhooksend:send",
    (
        Argument(
            ("endpoint",),
            "where to: a flow's file, a webhook that Airflow knows, or a URL",
            {"metavar": "ENDPOINT|FLOW.yaml|URL"},
        ),
        _TENANTS,
        Argument(
            ("--data",),
            "the body as JSON, or @ and the name of a file with it",
            {"metavar": "JSON", "default": '{"test": true}'},
        ),
        Argument(
            ("--content-type",),
            "of a body that is not JSON (default: application/json)",
            {"metavar": "TYPE", "default": "application/json"},
        ),
        Argument(("--event",), "the event's name, where the scheme has one", {"metavar": "NAME"}),
        Argument(("--id",), "the delivery's id, where the scheme has one (default: a new one)", {"metavar": "ID"}),
        Argument(
            ("--url",),
            "the API server to post to, such as http://localhost:8080 (default: the option public_url)",
            {"metavar": "BASE"},
        ),
        Argument(("--scheme",), "sign by this scheme instead of the endpoint's", {"metavar": "NAME"}),
        Argument(
            ("--connection",), "with the secret of this Connection instead of the endpoint's", {"metavar": "CONN_ID"}
        ),
        _CONNECTORS,
    ),
    (
        """webhooks send paid_orders.yaml --data '{"order": 17}' --url http://localhost:8080""",
        "webhooks send pushes --event push --data @push.json",
        "webhooks send https://example.com/hook --scheme standard --connection my_hook",
    ),
)

URL = Command(
    "url",
    "Show the address that a provider is told, and which secret it is given",
    "flowmate_airflow.cli.webhookurl:show_url",
    (
        Argument(("endpoint",), "a flow's file, or a webhook that Airflow knows", {"metavar": "ENDPOINT|FLOW.yaml"}),
        _TENANTS,
        Argument(("--token",), "with a token that makes the address hard to guess", {"action": "store_true"}),
        Argument(("--rotate",), "make another token; the old one is valid for one day more", {"action": "store_true"}),
        Argument(("--base",), "the API server as others reach it (default: the option public_url)", {"metavar": "URL"}),
        Argument(
            ("--show-secrets",), "show the secret that the provider has sent in a handshake", {"action": "store_true"}
        ),
        _CONNECTORS,
    ),
    ("webhooks url paid_orders.yaml", "webhooks url paid_orders --rotate", "webhooks url paid_orders --tenant acme"),
)

INBOX = (LIST, SHOW, REPLAY, SEND, URL)
