"""Node components of Open Integration Hub and elastic.io: protocol `component` through a runner of ours.

The runner is copied into the unmodified image and started by the image's own Node, in the component's folder.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from flowmate_airflow.protocols.base import FILES, Launch, Request
from flowmate_airflow.protocols.component import ComponentConversation, verb_arguments
from flowmate_airflow.protocols.config import nested

RUNNER = Path(__file__).parent / "node"


class NodeConversation(ComponentConversation):
    """Talks to a Node component under our runner.

    :param entrypoint: the image's Node, when it is not `node`
    """

    def __init__(self, request: Request, entrypoint: list[str] | None = None) -> None:
        arguments = [*(entrypoint or ["node"])[1:], f"{FILES}/runner.js", *verb_arguments(request)]
        # What an OAuth login gave lies in one object of the component's configuration: `oauth.access_token`.
        request = replace(request, credentials=nested(request.credentials))
        super().__init__(
            request, Launch(arguments=arguments, entrypoint=(entrypoint or ["node"])[:1], files=runner_files())
        )


@lru_cache(maxsize=1)
def runner_files() -> dict[str, bytes]:
    """Return the runner's files by name."""
    return {path.name: path.read_bytes() for path in sorted(RUNNER.glob("*.js"))}
