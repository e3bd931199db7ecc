"""Ids that the other system gives: handed to the connector when the same record comes again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import orjson

from flowmate_airflow.batches.batch import decoded
from flowmate_airflow.batches.message import Message
from flowmate_airflow.flows.expressions import compile_jsonata
from flowmate_airflow.protocols.base import Item
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.mapping import evaluate
from flowmate_airflow.steps.memory import Memory
from flowmate_airflow.store.links import LinkScope

GROUP = 500
"""Messages whose ids are looked up together."""
GROUP_BYTES = 1024 * 1024
"""Bytes of messages that are in memory for that."""
_REMOTE = ("remote_id", "recordUid")
"""Where a connector finds the id that its system gave: in our form, and in that of the Open Integration Hub."""
MAX_IN_FLIGHT = 100_000
"""Messages whose result is waited for; a connector that reports none tells no ids either."""


class IdLinks:
    """The links of one step.

    :param expression: JSONata over a message that gives its own id
    :param memory: where links are kept
    :param scope: the connector and Connection that the ids belong to, without the stream
    """

    def __init__(self, expression: str, memory: Memory, scope: LinkScope) -> None:
        self._expression = compile_jsonata(expression)
        self._memory = memory
        self._scope = scope
        self._in_flight: dict[str, tuple[str, str]] = {}
        self._new: dict[str, list[tuple[str, str]]] = {}

    def hand_over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, messages with `metadata.remote_id` (and OIH's `recordUid`) where their id is known.

        One that has another system's id there, from an earlier step, loses it: it would be taken for this system's.

        :raises ConfigFailure: the expression fails for a message, or gives no id
        """
        rest = iter(items)
        while group := list(_group(rest)):
            messages = {index: decoded(item) for index, item in enumerate(group) if isinstance(item, bytes)}
            keys = {index: (_stream(message), self.external_id(message)) for index, message in messages.items()}
            found = {
                stream: self._memory.remote_ids(
                    self._scope_of(stream), {own for name, own in keys.values() if name == stream and own is not None}
                )
                for stream in {name for name, _ in keys.values()}
            }
            for index, item in enumerate(group):
                if index in messages:
                    stream, own = keys[index]
                    item = self._linked(messages[index], item, stream, own, found[stream])
                yield item

    def note(self, message_id: str, remote_id: str) -> None:
        """Keep the id that the other system gave for a message."""
        key = self._in_flight.pop(message_id, None)
        if key is None:
            return
        stream, own = key
        new = self._new.setdefault(stream, [])
        new.append((own, remote_id))
        if len(new) >= GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what was noted."""
        for stream, pairs in self._new.items():
            self._memory.keep_remote_ids(self._scope_of(stream), pairs)
        self._new.clear()

    def external_id(self, message: Message) -> str | None:
        """Return a message's own id, None when it has none.

        :raises ConfigFailure: the expression gives something that is no id
        """
        value = evaluate(self._expression, message, "external_id")
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ConfigFailure(f"`external_id` gave {value!r:.80} for message {message['id']}, not a text or number")
        return str(value)

    def _linked(self, message: Message, item: Item, stream: str, own: str | None, known: dict[str, str]) -> Item:
        if own is None:
            return item
        if len(self._in_flight) < MAX_IN_FLIGHT:
            self._in_flight[message["id"]] = (stream, own)
        remote_id = known.get(own)
        given = message.get("metadata")
        if not isinstance(given, dict | None):
            if remote_id is None:
                return item
            given = None  # there is no place in it for the id
        metadata = dict(given or {})
        if remote_id is not None:
            metadata.update(dict.fromkeys(_REMOTE, remote_id))
        elif any(name in metadata for name in _REMOTE):
            metadata = {name: value for name, value in metadata.items() if name not in _REMOTE}
        else:
            return item
        return orjson.dumps({**message, "metadata": metadata})

    def _scope_of(self, stream: str) -> LinkScope:
        return LinkScope(self._scope.connector, self._scope.connection, stream, self._scope.tenant)


def _group(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the next items that are looked up together: not many, and not much."""
    size = 0
    for item in islice(items, GROUP):
        yield item
        size += len(item) if isinstance(item, bytes) else 0
        if size >= GROUP_BYTES:
            return


def _stream(message: Message) -> str:
    metadata = message.get("metadata")
    stream = metadata.get("stream") if isinstance(metadata, dict) else None
    return stream if isinstance(stream, str) else ""
