"""Node components of Open Integration Hub and elastic.io: protocol `component` through a runner of ours.

The runner is copied into the unmodified image and started by the image's own Node, in the component's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import orjson

from flowmate_airflow.protocols.base import FILES, Launch, Request
from flowmate_airflow.protocols.component import ComponentConversation, verb_arguments
from flowmate_airflow.protocols.component_subscription import check_size
from flowmate_airflow.protocols.config import nested
from flowmate_airflow.protocols.events import CatalogEvent, ErrorEvent, Event, ProtocolError, SubscriptionEvent
from flowmate_airflow.protocols.streams import OPEN_SCHEMA, Stream

RUNNER = Path(__file__).parent / "node"
_METADATA = b'{"type":"METADATA"'
_HOOKS = {"subscribe": "startup", "unsubscribe": "shutdown"}
"""What elastic.io calls the functions of a trigger that register its flow's address, and take it back. They get the
address as the environment variable ELASTICIO_FLOW_WEBHOOK_URI, and `shutdown` what `startup` has answered."""


class NodeConversation(ComponentConversation):
    """Talks to a Node component under our runner.

    :param entrypoint: the image's Node, when it is not `node`
    """

    def __init__(self, request: Request, entrypoint: list[str] | None = None) -> None:
        self._asked = request
        arguments = [*(entrypoint or ["node"])[1:], f"{FILES}/runner.js", *_asked(request)]
        # What an OAuth login gave lies in one object of the component's configuration: `oauth.access_token`.
        request = replace(request, credentials=nested(request.credentials))
        if request.verb == "unsubscribe":
            request = replace(request, state=request.context["webhook"]["subscription"])
        super().__init__(
            request, Launch(arguments=arguments, entrypoint=(entrypoint or ["node"])[:1], files=runner_files())
        )

    def take(self, line: bytes) -> Iterable[Event]:
        """See :meth:`Conversation.take`."""
        if self._asked.verb == "discover" and line.startswith(_METADATA):
            return (CatalogEvent(self._streams(line)),)
        if self._asked.verb in _HOOKS and line.startswith((b'{"type":"STARTUP"', b'{"type":"SHUTDOWN"')):
            return self._hooked(line)
        return super().take(line)

    def _hooked(self, line: bytes) -> Iterable[Event]:
        try:
            answer = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ProtocolError(f"its answer to {_HOOKS[self._asked.verb]} is broken JSON ({error})") from None
        if self._asked.verb == "unsubscribe":
            return ()  # what it says then means nothing to anybody
        if answer.get("missing"):
            why = f"its trigger {self._asked.function} has no startup(), so that it registers no address"
            return (ErrorEvent(f"{why}: say `subscribes: false` in the manifest", "config"),)
        check_size(answer.get("data"))
        return (SubscriptionEvent(answer.get("data")),)

    def _streams(self, line: bytes) -> list[Stream]:
        """Return what a function gives as the one table that such a component has: these know functions only."""
        try:
            metadata = orjson.loads(line).get("metadata")
        except orjson.JSONDecodeError as error:
            raise ProtocolError(f"its answer about the function's fields is broken JSON ({error})") from None
        schema = metadata.get("out") if isinstance(metadata, dict) else None
        name = str(self._asked.context.get("function") or self._asked.function)
        return [Stream(name, schema if isinstance(schema, dict) else dict(OPEN_SCHEMA))]


def _asked(request: Request) -> Sequence[str]:
    """Return the verb and its arguments, as the runner knows them."""
    if request.verb == "discover":
        return ("metamodel", request.function)
    verb = _HOOKS.get(request.verb)
    return (verb, request.function) if verb else verb_arguments(request)


@lru_cache(maxsize=1)
def runner_files() -> dict[str, bytes]:
    """Return the runner's files by name."""
    return {path.name: path.read_bytes() for path in sorted(RUNNER.glob("*.js"))}
