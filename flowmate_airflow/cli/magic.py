"""`flowmate links magic`: an address at which a tenant's people link connectors without an account."""

from __future__ import annotations

from argparse import Namespace
from datetime import timedelta

from flowmate_airflow.auth.magic import make
from flowmate_airflow.cli.asking import moment
from flowmate_airflow.cli.common import catalog_of, count, print_json
from flowmate_airflow.cli.errors import UsageError
from flowmate_airflow.cli.links import told_failures
from flowmate_airflow.flows.durations import parse_duration
from flowmate_airflow.store import magiclinks
from flowmate_airflow.store.store import open_store


def magic_link(arguments: Namespace) -> int:
    """Make a magic link, or take back those of a tenant."""
    store = open_store()
    if arguments.revoke:
        if arguments.connector or arguments.return_to:
            raise UsageError("--revoke takes back all of the tenant's, whatever they are for")
        print(f"{count(magiclinks.revoke(store, arguments.tenant), 'magic link')} can no longer be used")
        return 0
    with told_failures():
        made = make(
            store,
            catalog_of(arguments),
            arguments.tenant,
            connectors=arguments.connector,
            return_to=arguments.return_to,
            life=_life(arguments.expires_in),
            made_by="cli",
        )
    if arguments.format == "json":
        print_json({"url": made.url, "expires_at": made.link.expires_at.isoformat()})
        return 0
    print(made.url)
    print(f"It opens in one browser, until {moment(made.link.expires_at)}, and is shown this once.")
    return 0


def _life(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--expires-in: {error}") from None
