"""`flowmate webhooks list` and `show`: what was delivered, and what became of it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from flowmate_airflow.cli.asking import indented, moment, plain
from flowmate_airflow.cli.common import count, print_json_list
from flowmate_airflow.cli.endpoints import told_asleep
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.durations import parse_duration
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.steps.steplog import clean
from flowmate_airflow.store import deliveries
from flowmate_airflow.store.deliveries import CLAIMED, RECEIVED, REJECTED, Count, Delivery, Wanted
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store, open_store

DUPLICATE = "duplicate"
_ERROR_CHARACTERS = 100
_NAME_CHARACTERS = 60
_SHOWN_CHARACTERS = 2000
_HIDDEN = ("href",)


def list_deliveries(arguments: Namespace) -> int:
    """Print a line for each delivery, the newest first, and how many each endpoint has of each status."""
    if arguments.limit < 0:
        raise UsageError(f"--limit cannot be {arguments.limit}")
    store = open_store()
    counts = deliveries.counts(store)
    check_known(counts, arguments.endpoint, arguments.tenant)
    is_duplicate = arguments.status == DUPLICATE
    wanted = Wanted(
        endpoint=arguments.endpoint,
        tenant=arguments.tenant,
        status=None if is_duplicate else arguments.status,
        repeated=is_duplicate,
        since=moment_of(arguments.since, "--since"),
    )
    found = deliveries.find(store, wanted, arguments.limit or None, newest_first=True)
    if arguments.format == "json":
        print_json_list(map(_facts, found))
        return 0
    shown = 0
    for delivery in found:
        shown += 1
        print(_line(delivery))
    if shown and shown == arguments.limit:
        print(f"{shown:,} are shown, the newest first; --limit 0 shows all")
    counts = [
        each
        for each in counts
        if arguments.endpoint in (None, each.endpoint) and arguments.tenant in (None, each.tenant)
    ]
    _print_counts(counts, is_first=not shown)
    waiting = {each.endpoint for each in counts if each.status == RECEIVED}
    hint = told_asleep(waiting) if waiting else None
    if hint is not None:
        print(hint)
    return 0


def show_delivery(arguments: Namespace) -> int:
    """Print one delivery with its request and event, or its payload alone."""
    store = open_store()
    delivery = deliveries.get(store, arguments.id)
    if delivery is None:
        raise UsageError(f"there is no delivery {arguments.id}; `flowmate webhooks list` names them")
    if arguments.payload:
        print(plain(json.dumps(_payload(store, delivery.id), indent=2)))
        return 0
    payload = None if _has_none(delivery) else _payload(store, delivery.id)
    if arguments.format == "json":
        print(plain(json.dumps({**_facts(delivery), "payload": payload}, indent=2)))
        return 0
    for line in _description(delivery):
        print(line)
    if payload is None:
        print(f"no payload: {'the request was not taken' if delivery.status == REJECTED else 'it is no longer kept'}")
        return 0
    _print_payload(payload)
    return 0


def check_known(counts: list[Count], endpoint: str | None, tenant: str | None = None) -> None:
    """Check that an endpoint and a tenant have deliveries.

    :raises UsageError: it has none; the error names what there is
    """
    known = {each.endpoint for each in counts}
    if endpoint is None or endpoint in known:
        whose = {each.tenant for each in counts if endpoint in (None, each.endpoint)}
        if tenant is not None and tenant not in whose:
            hint = did_you_mean(tenant, whose - {""}) or "`flowmate webhooks list` shows whose there are"
            at = f" to `{clean(endpoint)}`" if endpoint is not None else ""
            raise UsageError(f"there are no deliveries of the tenant `{clean(tenant, 100)}`{at}; {hint}")
        return
    hint = did_you_mean(endpoint, known) or (
        f"{count(len(known), 'endpoint')} with some" if known else "there are none"
    )
    raise UsageError(f"there are no deliveries to `{endpoint}`; {hint}")


def moment_of(text: str | None, flag: str) -> datetime | None:
    """Return the moment that a duration before now is, or that a text in ISO 8601 names; UTC where it says no zone.

    :raises UsageError: it is neither
    """
    if text is None:
        return None
    try:
        age: timedelta | None = parse_duration(text)
    except ValueError:
        age = None
    if age is not None:
        return now() - age
    try:
        # Python 3.10 knows no Z.
        found = datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise UsageError(
            f"{flag}: {clean(text, 50)} is neither a time ago, such as 2h, nor a moment, such as 2026-01-31T08:00"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=now().tzinfo)


def tell_counts(counts: Mapping[str, int]) -> str:
    """Return how many there are of each status, for people."""
    return ", ".join(f"{number:,} {status}" for status, number in counts.items())


def _print_counts(counts: list[Count], *, is_first: bool) -> None:
    if not counts:
        print("0 deliveries")
        return
    if not is_first:
        print()
    for (endpoint, tenant), group in groupby(counts, lambda each: (each.endpoint, each.tenant)):
        print(f"{_place(endpoint, tenant)}: {tell_counts({each.status: each.count for each in group})}")


def _line(delivery: Delivery) -> str:
    parts = [
        str(delivery.id),
        moment(delivery.received_at),
        _place(delivery.endpoint, delivery.tenant),
        _status(delivery),
    ]
    if delivery.event:
        parts.insert(3, clean(delivery.event, _NAME_CHARACTERS))
    if delivery.duplicates:
        parts.append(f"came {count(delivery.duplicates, 'more time')}")
    if delivery.error:
        parts.append(clean((delivery.error.strip().splitlines() or [""])[0], _ERROR_CHARACTERS))
    return "  ".join(parts)


def _status(delivery: Delivery) -> str:
    if delivery.status == CLAIMED:
        return f"claimed by {clean(delivery.claim_run or '?')}"
    if delivery.status == RECEIVED and delivery.attempts:
        return f"received, {count(delivery.attempts, 'failed run')}"
    return delivery.status


def _description(delivery: Delivery) -> Iterator[str]:
    yield f"{delivery.id}: {_place(delivery.endpoint, delivery.tenant)}, {delivery.status}"
    named = [f"{what} {clean(text)}" for what, text in _named(delivery) if text]
    size = [f"{delivery.size:,} bytes" + (", encrypted" if delivery.is_encrypted else "")] if delivery.size else []
    again = [f"came {count(delivery.duplicates, 'more time')}"] if delivery.duplicates else []
    yield ", ".join([f"received {moment(delivery.received_at)}", *named, *size, *again])
    if delivery.claim_run is not None:
        task = f", task {clean(delivery.claim_task)}" if delivery.claim_task else ""
        at = f", {moment(delivery.claimed_at)}" if delivery.claimed_at else ""
        yield f"taken by the run {clean(delivery.claim_run)} of {clean(delivery.claim_flow or '?')}{task}{at}"
    if delivery.status == RECEIVED and delivery.available_at > now():
        yield f"waits for its next run until {moment(delivery.available_at)}"
    if delivery.finished_at is not None:
        yield f"finished {moment(delivery.finished_at)}"
    if delivery.attempts:
        yield f"{count(delivery.attempts, 'run')} failed with it"
    if delivery.error:
        yield indented(delivery.error)


def _named(delivery: Delivery) -> tuple[tuple[str, str | None], ...]:
    return ("event", delivery.event), ("id", delivery.delivery_id), ("key", delivery.order_key)


def _print_payload(payload: Mapping[str, Any]) -> None:
    event, http = _mapping(payload.get("event")), _mapping(payload.get("http"))
    print()
    print(clean(f"{http.get('method', '?')} {http.get('path', '')}"))
    for what in ("query", "headers"):
        for name, value in _mapping(http.get(what)).items():
            print(f"  {'?' if what == 'query' else ''}{clean(f'{name}: {value}')}")
    print()
    head = {name: value for name, value in event.items() if name != "data"}
    print(plain(" ".join(f"{name}={value}" for name, value in head.items()).replace("\n", "\\n")))
    text = json.dumps(event.get("data"), indent=2, ensure_ascii=False)
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]}…\n({len(text):,} characters; --payload prints all)"
    print(plain(text))


def _payload(store: Store, number: int) -> dict[str, Any]:
    try:
        return _mapping(json.loads(deliveries.payload_of(store, number)))
    except (ValueError, RecursionError):
        raise CommandError(f"the payload of the delivery {number} is damaged") from None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _has_none(delivery: Delivery) -> bool:
    return delivery.is_purged or delivery.status == REJECTED


def _facts(delivery: Delivery) -> dict[str, Any]:
    facts = {name: value for name, value in asdict(delivery).items() if name not in _HIDDEN}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in facts.items()}


def _place(endpoint: str, tenant: str) -> str:
    return clean(endpoint) + (f" (tenant {clean(tenant)})" if tenant else "")
