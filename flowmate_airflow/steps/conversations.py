"""Which conversation a connector needs: its manifest names the protocol."""

from __future__ import annotations

from collections.abc import Callable

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.airbyte_destination import AirbyteDestination
from flowmate_airflow.protocols.airbyte_source import AirbyteSource
from flowmate_airflow.protocols.base import Conversation, Request
from flowmate_airflow.protocols.component import ComponentConversation
from flowmate_airflow.protocols.node_image import NodeConversation
from flowmate_airflow.protocols.singer_tap import SingerTap
from flowmate_airflow.protocols.singer_target import SingerTarget


def conversation_for(manifest: Manifest, request: Request) -> Conversation:
    """Return a new conversation with a component of this connector."""
    if manifest.protocol == "singer":
        return (SingerTap if is_source(manifest) else SingerTarget)(request, manifest.singer)
    if manifest.protocol == "airbyte":
        airbyte: Callable[[Request], Conversation] = AirbyteSource if is_source(manifest) else AirbyteDestination
        return airbyte(request)
    if manifest.node is not None:
        return NodeConversation(request, manifest.entrypoint)
    return ComponentConversation(request)


def is_source(manifest: Manifest) -> bool:
    """Whether a connector of the protocol `singer` or `airbyte` reads: such an image does one thing only."""
    return bool(manifest.triggers)


def has_streams(manifest: Manifest) -> bool:
    """Whether the connector is a source that can say which streams it has."""
    if not is_source(manifest):
        return False
    return manifest.protocol == "airbyte" or (manifest.protocol == "singer" and manifest.singer.discover)
