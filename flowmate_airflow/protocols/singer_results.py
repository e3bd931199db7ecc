"""hotglue's form of a target's state: a result for each record, and counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from flowmate_airflow.protocols.events import ErrorEvent, Event, FailureType, RejectedEvent, ResultEvent

MAX_TEXT = 2000
"""Characters of one error."""

_CONFIG_CLASSES = ("InvalidCredentialsError", "InvalidPayloadError")


def results_of(state: Any) -> Mapping[str, Any] | None:
    """Return the part of a state with results of single records, or None when it is a common state."""
    if not isinstance(state, dict):
        return None
    inner = state.get("target")
    part = inner if isinstance(inner, dict) and "bookmarks" in inner else state
    bookmarks, summary = part.get("bookmarks"), part.get("summary")
    if isinstance(bookmarks, dict) and isinstance(summary, dict):
        return part
    return None


def result_events(results: Mapping[str, Any], ids: Mapping[tuple[str, str], str | None]) -> Iterator[Event]:
    """Yield what the target says about the records.

    :param ids: the ids of messages by table (in lower case) and external id; None where two messages share it
    """
    summary = results["summary"]
    for stream, entries in results["bookmarks"].items():
        if isinstance(entries, list):
            yield from _stream(stream, entries, summary.get(stream), ids)
    for stream in sorted(summary.keys() - results["bookmarks"].keys()):
        yield from _uncounted(stream, summary[stream], 0)


def _stream(
    stream: str, entries: list[Any], summary: Any, ids: Mapping[tuple[str, str], str | None]
) -> Iterator[Event]:
    unnamed: Counter[str] = Counter()
    failed = 0
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        external = entry.get("externalId")
        external = None if external is None else str(external)
        message_id = ids.get((stream.casefold(), external)) if external is not None else None
        if entry.get("success", not entry.get("error")):
            if message_id is not None:
                remote = entry.get("id")
                yield ResultEvent(message_id, None if remote is None else str(remote))
            continue
        failed += 1
        text = _text(entry)
        if message_id is not None:
            yield ErrorEvent(text, _failure_type(entry), message_id)
        elif external is not None:
            yield RejectedEvent(f"{stream}: {text}", external)
        else:
            unnamed[text] += 1
    for text, count in unnamed.items():
        yield RejectedEvent(f"{stream}: {text}", None, count)
    yield from _uncounted(stream, summary, failed)


def _uncounted(stream: str, summary: Any, failed: int) -> Iterator[Event]:
    count = summary.get("fail") if isinstance(summary, dict) else None
    if isinstance(count, int) and count > failed:
        yield RejectedEvent(f"{stream}: the target counts more failed records than it names", None, count - failed)


def _text(entry: Mapping[str, Any]) -> str:
    error = entry.get("error") or "the target gave no reason"
    text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text):,} characters)"


def _failure_type(entry: Mapping[str, Any]) -> FailureType:
    return "config" if entry.get("hg_error_class") in _CONFIG_CLASSES else "system"
