"""Protocol `singer`, a target: messages go in as SCHEMA, RECORD and STATE lines, its state comes out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.base import Item, Launch, Request
from flowmate_airflow.protocols.events import ErrorEvent, Event, LogEvent, ProtocolError, RequestError, StateEvent
from flowmate_airflow.protocols.singer import STATE, SingerConversation, place
from flowmate_airflow.protocols.singer_feed import Feed
from flowmate_airflow.protocols.singer_results import result_events, results_of
from flowmate_airflow.protocols.streams import LoadMode

SMALL_STATE = 64 * 1024
"""Bytes up to which a line of state is read when it comes. Of longer ones only the last is, at the end: a target in
hotglue's form says all its results anew with each batch."""

_GOOD_SO_FAR = "the target takes its configuration; it does not connect before it has records to store"
_METHODS: Mapping[LoadMode, str] = {"append": "append-only", "overwrite": "overwrite", "dedup": "upsert"}


class SingerTarget(SingerConversation):
    """Talks to one start of a target."""

    def __init__(self, request: Request, image: SingerImage) -> None:
        super().__init__(request, image)
        # Targets of the SDK check each record, and end at the first bad one; then no other would be stored either.
        strict = image.about and request.config.get("validate_records", True) is not False
        context = request.context
        stop = context.get("on_error") == "fail"
        self._feed = Feed(request.load, str(context.get("step") or "records"), strict=strict, stop_at_failure=stop)
        self._long_state: bytes | None = None
        self._results: Mapping[str, Any] | None = None

    def launch(self) -> Launch:
        """See :meth:`Conversation.launch`.

        :raises RequestError: the target cannot do what is asked
        """
        verb = self._request.verb
        if verb == "describe":
            return self._about()
        if verb == "discover":
            raise RequestError("a target has no streams to list; ask a tap or another source")
        if verb == "check" or self._request.state is None or not self._image.state:
            return self._start()  # with nothing to read a target only looks at its configuration
        return self._start("--state", place(STATE), files={STATE: self._dumps(self._request.state, STATE)})

    def config(self) -> dict[str, Any]:
        """Return what the target gets as its configuration: `load.mode` is its setting `load_method`.

        :raises RequestError: the target cannot store like that
        """
        config, mode = super().config(), self._request.load.mode
        if mode is None or "load_method" in config:
            return config
        if self._image.load_method:
            config["load_method"] = _METHODS[mode]
        elif mode == "overwrite" or (mode == "dedup" and self._image.about):
            raise RequestError(
                f"the target cannot store with `load: {{mode: {mode}}}`: it has no setting `load_method`, says the "
                "manifest's `singer.load_method`; leave `mode` out and use the target's own settings under `with`"
            )
        return config

    def feed(self, items: Iterable[Item]) -> Iterator[bytes]:
        """See :meth:`Conversation.feed`.

        :raises RequestError: the input cannot be stored like this
        """
        return self._feed.lines(items) if self._request.verb == "run" else iter(())

    def take(self, line: bytes) -> Iterable[Event]:
        """See :meth:`Conversation.take`."""
        if self._request.verb != "run":
            return () if self._request.verb == "check" else self._keep(line)
        return [*self._feed.trouble(), *self._take(line)]

    def end(self, code: int, files: Mapping[str, bytes]) -> Iterable[Event]:
        """See :meth:`Conversation.end`."""
        yield from self._changed_config(files)
        if self._request.verb == "describe":
            yield from self._described(code)
        elif self._request.verb == "check":
            yield from self._checked(code, _GOOD_SO_FAR)
        else:
            yield from self._ended(code)

    def _take(self, line: bytes) -> Iterable[Event]:
        line = line.strip()
        if line[:1] != b"{":
            return (_chatter(line),)
        if len(line) > SMALL_STATE and line[-1:] == b"}":
            self._long_state = line
            return ()
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            return (_chatter(line),)
        state = _state(value)
        if state is None:
            return (_chatter(line),)
        self._long_state = None
        return self._take_state(state)

    def _take_state(self, state: Any) -> Iterable[Event]:
        results = results_of(state)
        if results is None:
            return (StateEvent(state),)
        self._results = results
        # With a tap and a target in one job, hotglue's target keeps the tap's state beside its own.
        return (StateEvent(state["tap"]),) if results is not state and state.get("tap") else ()

    def _ended(self, code: int) -> Iterable[Event]:
        yield from self._feed.trouble()
        if self._long_state is not None:
            try:
                yield from self._take_state(_state(orjson.loads(self._long_state)) or {})
            except orjson.JSONDecodeError as error:
                raise ProtocolError(f"the last long line of its output is no state: {error}") from None
        if self._results is not None:
            yield from result_events(self._results, self._feed.ids)
        if code == 0 and not self._feed.complete:
            yield ErrorEvent("the target ended as if all were well, but had not read all of its input")


def _state(value: Any) -> Any:
    """Return the state that a line of a target's stdout stands for; None if it is only said for people."""
    if value.get("type") == "STATE" and "value" in value:
        return value["value"]
    told_to_people = ("level", "levelname", "severity", "message", "event")
    return None if any(key in value for key in told_to_people) and "bookmarks" not in value else value


def _chatter(line: bytes) -> LogEvent:
    return LogEvent(logging.INFO, line.decode("utf-8", errors="backslashreplace"))
