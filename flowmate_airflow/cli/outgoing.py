"""`flowmate webhooks sent`, `resend` and `ping`: what other applications are told."""

from __future__ import annotations

import json
import secrets
from argparse import Namespace
from typing import Any

from flowmate_airflow.cli.asking import moment
from flowmate_airflow.cli.common import count, print_json_list
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.outgoing.news import envelope
from flowmate_airflow.outgoing.targets import OPTION, TargetError, find_target, target_names
from flowmate_airflow.steps.steplog import clean
from flowmate_airflow.store import outgoing
from flowmate_airflow.store.outgoing import FAILED, WAITING, Notice, Wanted
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import open_store

PING = "ping"
"""The type of a notice for trial, which no run has caused."""


def list_sent(arguments: Namespace) -> int:
    """Print a line for each notice, and how many each target has; or one with its body."""
    if arguments.limit < 0:
        raise UsageError(f"--limit cannot be {arguments.limit}")
    store = open_store()
    if arguments.id is not None:
        return _show(arguments)
    wanted = Wanted(arguments.target, arguments.event, arguments.status)
    found = outgoing.find(store, wanted, arguments.limit or None)
    if arguments.format == "json":
        print_json_list(map(_facts, found))
        return 0
    for notice in found:
        print(_line(notice))
    counts = outgoing.counts(store)
    print("0 notices" if not counts else "")
    for (target, status), number in counts.items():
        print(f"{target}: {number:,} {status}")
    return 0


def resend(arguments: Namespace) -> int:
    """Let notices wait to be sent again."""
    if not arguments.id and not arguments.failed:
        raise UsageError("say which notices: their ids, or --failed")
    status = FAILED if arguments.failed else None
    wanted = Wanted(arguments.target, arguments.event, status, arguments.id or None)
    again = outgoing.replay(open_store(), wanted)
    print(f"{count(again, 'notice')} will be sent again")
    if arguments.id and again < len(set(arguments.id)):
        raise CommandError("the others wait already, or are not there; `flowmate webhooks sent` lists them")
    return 0


def ping(arguments: Namespace) -> int:
    """Send a notice for trial."""
    names = target_names()
    if arguments.target not in names:
        hint = did_you_mean(arguments.target, names) or (f"it names {', '.join(names)}" if names else "it is empty")
        raise UsageError(f"{OPTION} does not name `{arguments.target}`; {hint}")
    try:
        target = find_target(arguments.target)
    except TargetError as error:
        raise CommandError(str(error)) from None
    from flowmate_airflow.outgoing.post import post  # requests is slow to import

    outcome = post(target, f"msg_{secrets.token_hex(16)}", envelope(PING, now(), {}))
    if outcome.error is not None:
        raise CommandError(f"{arguments.target}: {outcome.error}")
    print(f"{arguments.target} answered {outcome.status}")
    return 0


def _show(arguments: Namespace) -> int:
    notice = next(outgoing.find(open_store(), Wanted(ids=[arguments.id])), None)
    if notice is None:
        raise UsageError(f"there is no notice {arguments.id}; `flowmate webhooks sent` lists them")
    body = json.loads(notice.payload)
    if arguments.format == "json":
        print(json.dumps({**_facts(notice), "body": body}, indent=2))
        return 0
    print(f"{notice.id}: {notice.event} to {notice.target}, webhook-id {notice.message_id}")
    print(f"{_status(notice)}, {count(notice.attempts, 'attempt')}, made {moment(notice.created_at)}")
    if notice.error:
        print(f"  {clean(notice.error)}")
    print(json.dumps(body, indent=2))
    return 0


def _line(notice: Notice) -> str:
    head = f"{notice.id}  {moment(notice.created_at)}  {notice.target}  {notice.event}  {_status(notice)}"
    return f"{head}: {clean(notice.error)}" if notice.error else head


def _status(notice: Notice) -> str:
    if notice.status == WAITING:
        return f"waiting until {moment(notice.next_at)}"
    ended = f" at {moment(notice.finished_at)}" if notice.finished_at else ""
    return f"{notice.status}{ended}"


def _facts(notice: Notice) -> dict[str, Any]:
    names = ("id", "target", "event", "message_id", "status", "attempts", "response_status", "error")
    moments = {
        name: value.isoformat() if value is not None else None
        for name, value in (
            ("created_at", notice.created_at),
            ("next_at", notice.next_at if notice.status == WAITING else None),
            ("finished_at", notice.finished_at),
        )
    }
    return {**{name: getattr(notice, name) for name in names}, **moments}
