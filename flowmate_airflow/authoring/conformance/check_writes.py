"""Checks of actions and targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from flowmate_airflow.authoring.conformance.report import Failed, Skipped
from flowmate_airflow.authoring.conformance.seen import Seen
from flowmate_airflow.authoring.conformance.subject import Subject
from flowmate_airflow.protocols.base import Item
from flowmate_airflow.protocols.events import StateEvent
from flowmate_airflow.protocols.streams import Stream

TABLE = "flowmate_check"
"""The table that a target gets sample records for."""
_STREAM = Stream(
    TABLE,
    {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "name": {"type": ["string", "null"]}},
        "required": ["id"],
    },
    primary_key=("id",),
)
_SAMPLES = [{"id": 1, "name": "first"}, {"id": 2, "name": "zwölf % \"quoted\" 'text'"}, {"id": 3, "name": None}]


def accepts(subject: Subject) -> str | None:
    """It takes messages, and says of each what became of it, where it says anything."""
    if subject.manifest.protocol != "component":
        return _for_each(subject, lambda name: _target_accepts(subject, name))
    return _for_each(subject, lambda name: _action_accepts(subject, name))


def takes_nothing(subject: Subject) -> str | None:
    """It ends well when there is nothing to do, as soon as its input ends."""

    def check(name: str) -> str | None:
        why = subject.needs_more(name)
        if why is not None:
            raise Skipped(why)
        incoming = () if subject.manifest.protocol == "component" else (_STREAM,)
        seen = subject.run(f"`{name}` without a message", name, items=iter(incoming), incoming=incoming)
        if seen.problem() is not None:
            raise Failed(f"`{name}` without a message: {seen.problem()}")
        return None

    return _for_each(subject, check)


def _action_accepts(subject: Subject, name: str) -> str | None:
    why = subject.needs_more(name)
    if why is not None:
        raise Skipped(why)
    given = subject.good.messages.get(name)
    if not given:
        raise Skipped(f"`{name}` was given no messages: --config can have some")
    ids = [f"check-{number}" for number in range(1, len(given) + 1)]
    lines = [orjson.dumps({"id": key, "data": data, "metadata": {}}) for key, data in zip(ids, given, strict=True)]
    seen = subject.run(f"`{name}` with {len(ids)} messages", name, items=lines)
    _must_end_well(name, seen)
    failed = [error.message_id for error in seen.errors if error.message_id is not None]
    if failed:
        raise Failed(f"`{name}` refused {len(failed):,} of {len(ids):,} messages: {seen.errors[0].text}")
    strangers = [each for each in seen.results if each not in ids]
    if strangers:
        raise Failed(f"`{name}` reports a result for `{strangers[0][:80]}`, which is no message of its input")
    if seen.results and sorted(seen.results) != sorted(ids):
        raise Failed(f"`{name}` got {len(ids):,} messages and reports {len(seen.results):,} results")
    return f"{len(ids):,} messages in, {len(seen.records):,} out" + ("" if seen.results else "; it reports no results")


def _target_accepts(subject: Subject, name: str) -> str | None:
    why = subject.needs_more(name)
    if why is not None:
        raise Skipped(why)
    state = {"flowmate_check": 1}
    lines = [
        orjson.dumps({"id": f"check-{number}", "data": data, "metadata": {"stream": TABLE}})
        for number, data in enumerate(_SAMPLES, 1)
    ]
    items: list[Item] = [_STREAM, *lines, StateEvent(state)]
    seen = subject.run(f"`{name}` with {len(lines)} records", name, items=items, incoming=(_STREAM,))
    _must_end_well(name, seen)
    if seen.errors or seen.rejected:
        text = seen.errors[0].text if seen.errors else seen.rejected[0].text
        raise Failed(f"`{name}` refused a sample record: {text}")
    if not seen.has_state:
        if subject.manifest.protocol == "airbyte":
            raise Failed(f"`{name}` did not hand back the state that says the records are stored")
        return f"{len(lines)} records; it hands back no state, so that a flow takes its exit for success"
    return f"{len(lines)} records, and their state came back"


def _must_end_well(name: str, seen: Seen) -> None:
    if seen.problem() is not None:
        raise Failed(f"`{name}`: {seen.problem()}")


def _for_each(subject: Subject, check: Callable[[str], str | None]) -> str | None:
    names: Sequence[str] = list(subject.manifest.actions)
    if not names:
        raise Skipped("it has no action")
    return subject.for_each(names, check)
