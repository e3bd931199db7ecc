"""Which conversation a connector needs: its manifest names the protocol."""

from __future__ import annotations

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.base import Conversation, Request


def conversation_for(manifest: Manifest, request: Request) -> Conversation:
    """Return a new conversation with a component of this connector."""
    # Imported where they are needed: a task speaks one protocol, and starting it should be quick.
    if manifest.protocol == "singer":
        return _singer(manifest, request)
    if manifest.protocol == "airbyte":
        return _airbyte(manifest, request)
    if manifest.node is not None:
        from flowmate_airflow.protocols.node_image import NodeConversation

        return NodeConversation(request, manifest.entrypoint)
    from flowmate_airflow.protocols.component import ComponentConversation

    return ComponentConversation(request)


def _singer(manifest: Manifest, request: Request) -> Conversation:
    if is_source(manifest):
        from flowmate_airflow.protocols.singer_tap import SingerTap

        return SingerTap(request, manifest.singer)
    from flowmate_airflow.protocols.singer_target import SingerTarget

    return SingerTarget(request, manifest.singer)


def _airbyte(manifest: Manifest, request: Request) -> Conversation:
    if is_source(manifest):
        from flowmate_airflow.protocols.airbyte_source import AirbyteSource

        return AirbyteSource(request)
    from flowmate_airflow.protocols.airbyte_destination import AirbyteDestination

    return AirbyteDestination(request)


def is_source(manifest: Manifest) -> bool:
    """Whether a connector of the protocol `singer` or `airbyte` reads: such an image does one thing only."""
    return bool(manifest.triggers)


def has_streams(manifest: Manifest) -> bool:
    """Whether the connector is a source that can say which streams it has."""
    if not is_source(manifest):
        return False
    return manifest.protocol == "airbyte" or (manifest.protocol == "singer" and manifest.singer.discover)
