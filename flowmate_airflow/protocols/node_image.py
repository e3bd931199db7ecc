"""Node components of Open Integration Hub and elastic.io: protocol `component` through a runner of ours.

The runner is copied into the unmodified image and started by the image's own Node, in the component's folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import orjson

from flowmate_airflow.protocols.base import FILES, Launch, Request
from flowmate_airflow.protocols.component import ComponentConversation, verb_arguments
from flowmate_airflow.protocols.config import nested
from flowmate_airflow.protocols.events import CatalogEvent, Event, ProtocolError
from flowmate_airflow.protocols.streams import OPEN_SCHEMA, Stream

RUNNER = Path(__file__).parent / "node"
_METADATA = b'{"type":"METADATA"'


class NodeConversation(ComponentConversation):
    """Talks to a Node component under our runner.

    :param entrypoint: the image's Node, when it is not `node`
    """

    def __init__(self, request: Request, entrypoint: list[str] | None = None) -> None:
        self._asked = request
        asked = ("metamodel", request.function) if request.verb == "discover" else verb_arguments(request)
        arguments = [*(entrypoint or ["node"])[1:], f"{FILES}/runner.js", *asked]
        # What an OAuth login gave lies in one object of the component's configuration: `oauth.access_token`.
        request = replace(request, credentials=nested(request.credentials))
        super().__init__(
            request, Launch(arguments=arguments, entrypoint=(entrypoint or ["node"])[:1], files=runner_files())
        )

    def take(self, line: bytes) -> Iterable[Event]:
        """See :meth:`Conversation.take`."""
        if self._asked.verb == "discover" and line.startswith(_METADATA):
            return (CatalogEvent(self._streams(line)),)
        return super().take(line)

    def _streams(self, line: bytes) -> list[Stream]:
        """Return what a function gives as the one table that such a component has: these know functions only."""
        try:
            metadata = orjson.loads(line).get("metadata")
        except orjson.JSONDecodeError as error:
            raise ProtocolError(f"its answer about the function's fields is broken JSON ({error})") from None
        schema = metadata.get("out") if isinstance(metadata, dict) else None
        name = str(self._asked.context.get("function") or self._asked.function)
        return [Stream(name, schema if isinstance(schema, dict) else dict(OPEN_SCHEMA))]


@lru_cache(maxsize=1)
def runner_files() -> dict[str, bytes]:
    """Return the runner's files by name."""
    return {path.name: path.read_bytes() for path in sorted(RUNNER.glob("*.js"))}
