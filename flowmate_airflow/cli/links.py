"""`flowmate links`: links shown, checked and removed, and which tables and fields are read for a tenant."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.cli.asking import confirm, indented, moment, plain
from flowmate_airflow.cli.common import catalog_of, print_json
from flowmate_airflow.cli.errors import FAILED, CommandError, UsageError
from flowmate_airflow.cli.jsonfile import json_file
from flowmate_airflow.flows.errors import did_you_mean, shown
from flowmate_airflow.store import linked as links
from flowmate_airflow.store import renewals
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.renewals import NEEDS_REAUTH, Renewal
from flowmate_airflow.store.store import Store, open_store

_MOST = 10


def list_links(arguments: Namespace) -> int:
    """Print each link and how it is."""
    store = open_store()
    found = links.find_all(store, arguments.tenant, arguments.connector)
    if not found and (arguments.tenant or arguments.connector):
        raise _none_there(store, arguments.tenant, arguments.connector)
    known = renewals.statuses(store, {row.conn_id for row in found})
    if arguments.format == "json":
        print_json([facts(row, known.get(row.conn_id)) for row in found])
        return 0
    if not found:
        print("nobody has linked a connector; `flowmate links add` does it")
    for row in found:
        print(line(row, known.get(row.conn_id)))
    return 0


def show_link(arguments: Namespace) -> int:
    """Print all that is known of one link."""
    store = open_store()
    row = one_link(store, arguments.tenant, arguments.connector)
    renewal = renewals.status(store, row.conn_id)
    users = links.users_of(store, row.tenant, row.connector)
    if arguments.format == "json":
        names = [{"tenant": user.tenant, "connector": user.connector} for user in users]
        print_json({**facts(row, renewal), "field_map": row.field_map, "used_by": names})
        return 0
    print("\n".join(_report(row, renewal, users)))
    return 0


def check_links(arguments: Namespace) -> int:
    """Check one link, or all of a tenant; the exit code tells whether all work."""
    from flowmate_airflow.auth.linkchecks import check

    store = open_store()
    catalog = catalog_of(arguments)
    if arguments.connector is not None:
        rows = [one_link(store, arguments.tenant, arguments.connector)]
    else:
        rows = [row for row in links.of_tenant(store, arguments.tenant) if not row.is_template]
        if not rows:
            raise _none_there(store, arguments.tenant, None)
    results = []
    for row in rows:
        with told_failures():
            found = check(catalog, row.tenant, row.connector, store=store)
        results.append({"connector": row.connector, "problem": found.problem, "checked": found.is_certain})
        if arguments.format == "human":
            unknown = "could not be checked here" if not found.is_certain else "it works"
            print(f"{row.connector}: {plain(found.problem or unknown)}", flush=True)
    if arguments.format == "json":
        print_json(results)
    return FAILED if any(result["problem"] for result in results) else 0


def remove_link(arguments: Namespace) -> int:
    """Remove a link with its credentials."""
    from flowmate_airflow.auth.unlinking import unlink

    store = open_store()
    catalog = catalog_of(arguments)
    row = links.find(store, arguments.tenant, arguments.connector)
    if row is not None:
        users = links.users_of(store, row.tenant, row.connector) if arguments.force else []
        also = f", and of {names_of(users)}" if users else ""
        confirm(f"Remove {row}{also}, with its credentials?", yes=arguments.yes)
    with told_failures():
        done = unlink(
            catalog,
            arguments.tenant,
            arguments.connector,
            force=arguments.force,
            must_revoke=arguments.must_revoke,
            store=store,
        )
    if done is None:
        raise _none_there(store, arguments.tenant, arguments.connector)
    also = f" and {names_of(list(done.users))}" if done.users else ""
    given = "; the provider has taken its tokens back" if done.revoked else ""
    print(f"Removed {done.linked}{also}{given}")
    if done.problem is not None:
        print(plain(done.problem), file=sys.stderr)
    return 0


def link_fields(arguments: Namespace) -> int:
    """Show, set or clear the field map of a link."""
    from flowmate_airflow.auth.links import set_field_map

    store = open_store()
    if arguments.clear and arguments.file:
        raise UsageError("--clear and --file do not go together")
    if arguments.clear or arguments.file:
        chosen = None if arguments.clear else json_file(arguments.file, "--file")
        with told_failures():
            row = set_field_map(
                arguments.tenant, arguments.connector, chosen, catalog=catalog_of(arguments), store=store
            )
        tables = "none of its own" if row.field_map is None else ", ".join(row.field_map)
        print(f"Set which tables {row} reads: {plain(tables)}")
        return 0
    row = one_link(store, arguments.tenant, arguments.connector, template=True)
    if row.field_map is None:
        print(f"{row} has no field map of its own; `flowmate links fields … --file FILE` sets one", file=sys.stderr)
    print_json(row.field_map)
    return 0


def one_link(store: Store, tenant: str, connector: str, *, template: bool = False) -> Linked:
    """Return a link.

    :param template: whether one without credentials will do
    :raises UsageError: there is none; the text names what there is instead
    """
    row = links.find(store, tenant, connector)
    if row is None or (row.is_template and not template):
        raise _none_there(store, tenant, connector)
    return row


def status_of(row: Linked, renewal: Renewal | None) -> str:
    """Return how a link is: `linked`, `needs_reauth`, `problem`, or `template`."""
    if row.is_template:
        return "template"
    if renewal is not None and renewal.status == NEEDS_REAUTH:
        return NEEDS_REAUTH
    return "linked" if row.problem is None and (renewal is None or renewal.error is None) else "problem"


def reason_of(row: Linked, renewal: Renewal | None) -> str | None:
    """Return why a link does not work, None when it does."""
    if row.is_template:
        return None
    return (renewal.error if renewal is not None else None) or row.problem


def facts(row: Linked, renewal: Renewal | None) -> dict[str, Any]:
    """Return a link for programs."""
    return {
        "tenant": row.tenant,
        "connector": row.connector,
        "method": row.method or None,
        "connection": row.conn_id or None,
        "symlink": None if row.symlink is None else {"tenant": row.symlink[0], "connector": row.symlink[1]},
        "status": status_of(row, renewal),
        "reason": reason_of(row, renewal),
        "has_field_map": row.field_map is not None,
        "checked_at": _iso(row.checked_at),
        "renewed_at": _iso(renewal.renewed_at if renewal is not None else None),
        "next_try_at": _iso(renewal.next_at if renewal is not None else None),
        "created_at": _iso(row.created_at),
        "linked_at": _iso(row.linked_at),
    }


def line(row: Linked, renewal: Renewal | None) -> str:
    """Return a link for people."""
    if row.is_template:
        return f"{row.tenant} {row.connector}: a template of fields, without credentials"
    using = f", uses {'/'.join(row.symlink)}" if row.symlink is not None else ""
    why = reason_of(row, renewal)
    words = {NEEDS_REAUTH: "needs a new login", "linked": "linked", "problem": "does not work"}
    status = words[status_of(row, renewal)]
    return f"{row.tenant} {row.connector}: {status} ({row.method}{using})" + (f": {plain(why)}" if why else "")


def names_of(rows: list[Linked]) -> str:
    """Return links by tenant and connector, the first of them."""
    more = f" and {len(rows) - _MOST:,} more" if len(rows) > _MOST else ""
    return ", ".join(f"{row.tenant}/{row.connector}" for row in rows[:_MOST]) + more


@contextmanager
def told_failures() -> Iterator[None]:
    """Turn what the links' functions raise into a command's failure, and show what they log on standard error.

    :raises CommandError: with the reason; wrong usage where the user must change what was given
    """
    from flowmate_airflow.auth.forms import FormError
    from flowmate_airflow.steps.errors import StepError

    try:
        with _logs_on_standard_error():
            yield
    except FormError as error:
        raise UsageError("\n".join(plain(problem) for problem in error.problems.values())) from None
    except LoginError as error:
        failure = UsageError if error.kind == "config" else CommandError
        again = "; it may work when it is tried again" if error.kind == "transient" else ""
        raise failure(f"{plain(error.text)}{again}") from None
    except StepError as error:
        raise CommandError(plain(str(error))) from None


@contextmanager
def _logs_on_standard_error() -> Iterator[None]:
    """Keep what is logged off standard output, where Airflow would write it, between what is for programs."""
    logger = logging.getLogger("flowmate_airflow")
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates


def _report(row: Linked, renewal: Renewal | None, users: list[Linked]) -> Iterator[str]:
    yield line(row, renewal)
    if row.conn_id:
        yield indented(f"Connection: {row.conn_id}")
    times: Mapping[str, datetime | None] = {
        "linked": row.linked_at,
        "checked": row.checked_at,
        "renewed": renewal.renewed_at if renewal is not None else None,
        "next try": renewal.next_at if renewal is not None else None,
    }
    yield from (indented(f"{name}: {moment(at)}") for name, at in times.items() if at is not None)
    if users:
        yield indented(f"used by: {names_of(users)}")
    if row.field_map is not None:
        yield indented(f"reads: {', '.join(row.field_map)[:500]}; `flowmate links fields` tells more")


def _none_there(store: Store, tenant: str | None, connector: str | None) -> UsageError:
    """Return the error that names what there is instead."""
    there = links.find_all(store)
    if not there:
        return UsageError("nobody has linked a connector; `flowmate links add` does it")
    if tenant is not None and tenant not in {row.tenant for row in there}:
        hint = did_you_mean(tenant, {row.tenant for row in there}) or "`flowmate links list` lists all"
        return UsageError(f"the tenant {shown(tenant)} has linked nothing; {hint}")
    rows = [row for row in there if tenant in (None, row.tenant)]
    hint = did_you_mean(str(connector), {row.connector for row in rows}) or "`flowmate links list` lists all"
    who = "nobody has" if tenant is None else f"the tenant {tenant} has not"
    return UsageError(f"{who} linked {shown(str(connector))}; {hint}")


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
