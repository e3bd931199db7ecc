"""Checks of triggers and sources: records, repetition, incremental reading, being killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flowmate_airflow.authoring.conformance.compare import differences, missing, repeated
from flowmate_airflow.authoring.conformance.report import Failed, Skipped
from flowmate_airflow.authoring.conformance.seen import Seen
from flowmate_airflow.authoring.conformance.subject import Subject
from flowmate_airflow.authoring.schematidy import tidy
from flowmate_airflow.protocols.streams import SelectedStream, Stream

_UNKNOWN = "flowmate_no_such_thing"
_CHECKED = 1000
"""Records of one stream that are compared with their schema."""


def reads(subject: Subject) -> str | None:
    """Reading gives records that fit what was declared."""

    def check(name: str) -> str | None:
        seen = subject.read(name)
        if not seen.records:
            if subject.is_streams:
                raise Failed(f"`{name}` gave no record of any stream{_silence(subject, seen)}")
            raise Skipped(f"`{name}` gave no message")
        if seen.undeclared:
            told = f"`{name}` gave records of {_names(seen.undeclared)}"
            raise Failed(f"{told} without the schema of the stream before them")
        problems = list(_misfits(subject, name, seen))
        if problems:
            raise Failed("\n".join(problems[:5]))
        silent = sorted(_selected_names(subject) - {record.stream for record in seen.records if record.stream})
        told = f"{len(seen.records):,} records" + (", and more: it was stopped there" if seen.full else "")
        return told + (f"; none of {_names(silent)}" if silent else "")

    return _for_each(subject, check)


def repeats(subject: Subject) -> str | None:
    """Two full reads give the same."""

    def check(name: str) -> str | None:
        first = subject.read(name)
        if first.full:
            raise Skipped("it has too many records to be compared")
        second = subject.run(f"`{name}`, read in full again", name, selected=subject.selected())
        if second.problem() is not None:
            raise Failed(f"`{name}`, the second time: {second.problem()}")
        wrong, moments = differences(first, second)
        if wrong:
            raise Failed("\n".join(f"`{name}`: {each}" for each in wrong[:10]))
        return f"fields that hold the moment of reading: {', '.join(moments)}" if moments else None

    return _for_each(subject, check)


def reads_incrementally(subject: Subject) -> str | None:
    """An incremental read after an incremental read gives nothing twice."""

    def check(name: str) -> str | None:
        first = _incremental(subject, name)
        if first.full:
            raise Skipped("it has too many records to be compared")
        if not first.has_state:
            if subject.is_streams:
                raise Failed(f"`{name}` lists incremental streams, but gave no state")
            raise Skipped(f"`{name}` keeps no state; without `state: true` in the manifest this is no loss")
        second = subject.run(
            f"`{name}`, read again with its own state",
            name,
            selected=subject.selected(incremental=True),
            state=first.state,
        )
        if second.problem() is not None:
            raise Failed(f"`{name}` does not take its own state: {second.problem()}")
        again = repeated(first, second)
        if again:
            raise Failed(f"`{name}` gave again what it had given before: {', '.join(again[:5])}")
        return f"{len(first.records):,} records, then {len(second.records):,}"

    return _for_each(subject, check, lambda name: subject.function(name).state)


def resumes(subject: Subject) -> str | None:
    """Killed in the middle and started again with the last state, it loses nothing."""

    def check(name: str) -> str | None:
        whole = _incremental(subject, name)
        if whole.full or len(whole.records) < 2:
            raise Skipped("it has too many records to be compared" if whole.full else "it has no two records")
        half = max(1, len(whole.records) // 2)
        selected = subject.selected(incremental=True)
        killed = subject.run(
            f"`{name}`, killed in the middle", name, selected=selected, cut=lambda seen: len(seen.records) >= half
        )
        if killed.problem() is not None:
            raise Failed(f"`{name}`, killed in the middle: {killed.problem()}")
        resumed = subject.run(f"`{name}`, after it was killed", name, selected=selected, state=killed.state)
        if resumed.problem() is not None:
            raise Failed(f"`{name}` does not take the state it had when it was killed: {resumed.problem()}")
        lost = missing(whole, [*killed.records[: killed.state_at], *resumed.records])
        if lost:
            raise Failed(f"`{name}` lost {', '.join(lost[:5])} when it was killed: a state must come after its records")
        where = f"after {killed.state_at:,}" if killed.has_state else "without a state, from the beginning"
        return f"killed after {len(killed.records):,} of {len(whole.records):,} records, resumed {where}"

    return _for_each(subject, check, lambda name: subject.function(name).state)


def refuses_unknown(subject: Subject) -> str | None:
    """What does not exist is not read as if it did."""
    name = next(iter([*subject.manifest.triggers, *subject.manifest.actions]))
    why = subject.needs_more(name)
    if why is not None:
        raise Skipped(why)
    if subject.manifest.protocol == "component":
        seen = subject.run("a function that does not exist", name, calls=_UNKNOWN)
        if seen.problem() is None or seen.failure:
            raise Failed(seen.problem() or f"asked to run `{_UNKNOWN}`, it ended as if it had done so")
        if seen.late:
            raise Failed(f"asked to run a function that does not exist, {seen.problem()}")
        return _told(seen)
    if not subject.is_streams:
        raise Skipped("it reads no catalog")
    selected = [SelectedStream(_unknown_stream(subject))]
    seen = subject.run("a stream that does not exist", name, selected=selected)
    if seen.failure or seen.broken or seen.late:
        raise Failed(f"asked for a stream that does not exist, {seen.problem()}")
    if seen.problem() is not None:
        return _told(seen)
    if seen.records:
        names = _names({record.stream or "" for record in seen.records})
        raise Failed(f"asked for a stream that does not exist, it gave {len(seen.records):,} records of {names}")
    return "it leaves out streams that it does not know, and says nothing"


def _incremental(subject: Subject, name: str) -> Seen:
    """Return the first read that keeps a state; of a component it is the full read."""
    if not subject.is_streams:
        return subject.read(name)
    selected = subject.selected(incremental=True)
    if not selected:
        raise Skipped("it has no stream that can be read incrementally")
    why = subject.needs_more(name)
    if why is not None:
        raise Skipped(why)
    seen = subject.once(
        f"incremental {name}", lambda: subject.run(f"`{name}`, read incrementally", name, selected=selected)
    )
    if seen.problem() is not None:
        raise Failed(f"`{name}`, read incrementally: {seen.problem()}")
    return seen


def _for_each(
    subject: Subject, check: Callable[[str], str | None], applies: Callable[[str], bool] = lambda name: True
) -> str | None:
    names = [name for name in subject.manifest.triggers if applies(name)]
    if not names:
        raise Skipped("it has no trigger" if not subject.manifest.triggers else "no trigger of it keeps a state")
    return subject.for_each(names, check)


def _misfits(subject: Subject, name: str, seen: Seen) -> Iterator[str]:
    checked: dict[str | None, int] = {}
    validators: dict[str | None, Any] = {}
    wrong: dict[tuple[str | None, str], int] = {}
    for record in seen.records:
        number = checked[record.stream] = checked.get(record.stream, 0) + 1
        if number > _CHECKED or record.data is None:
            continue
        if record.stream not in validators:
            validators[record.stream] = _validator(_schema(subject, name, seen, record.stream))
        for error in validators[record.stream].iter_errors(record.data):
            place = ".".join(map(str, error.absolute_path)) or "the record"
            key = (record.stream, f"`{place}` {str(error.message)[:200]}")
            wrong[key] = wrong.get(key, 0) + 1
            if len(wrong) > 20:
                break
    for (stream, text), count in wrong.items():
        label = f"a record of `{stream}`" if stream else f"a message of `{name}`"
        yield f"{label} does not fit its schema: {text}" + (f" ({count:,} times)" if count > 1 else "")


def _schema(subject: Subject, name: str, seen: Seen, stream: str | None) -> Mapping[str, Any]:
    if stream is not None and stream in seen.streams:
        return seen.streams[stream].schema
    return subject.function(name).output or {}


def _validator(schema: Mapping[str, Any]) -> Any:
    from jsonschema import Draft202012Validator
    from referencing.jsonschema import EMPTY_REGISTRY

    known = tidy(schema)
    known.pop("default", None)
    return Draft202012Validator(_without_steps(known), registry=EMPTY_REGISTRY)


def _without_steps(schema: Any) -> Any:
    """Leave out `multipleOf`: by fractions, no two libraries agree on it."""
    if isinstance(schema, dict):
        return {key: _without_steps(value) for key, value in schema.items() if key != "multipleOf"}
    return [_without_steps(each) for each in schema] if isinstance(schema, list) else schema


def _unknown_stream(subject: Subject) -> Stream:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    if subject.manifest.protocol == "singer":
        raw: dict[str, Any] = {"stream": _UNKNOWN, "tap_stream_id": _UNKNOWN, "schema": schema, "metadata": []}
    else:
        raw = {"name": _UNKNOWN, "json_schema": schema, "supported_sync_modes": ["full_refresh"]}
    return Stream(_UNKNOWN, schema, raw=raw)


def _selected_names(subject: Subject) -> set[str]:
    return {each.stream.name for each in subject.selected() or ()}


def _silence(subject: Subject, seen: Seen) -> str:
    return f": {seen.last_line}" if seen.last_line else ""


def _told(seen: Seen) -> str | None:
    text = seen.failed.text if seen.failed is not None else seen.last_line
    return f"it says: {text[:300]}" if text else None


def _names(names: Sequence[str] | set[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return ", ".join(f"`{name}`" for name in listed[:5]) + more
