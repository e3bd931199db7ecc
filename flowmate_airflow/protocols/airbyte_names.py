"""How Airbyte names streams and fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from flowmate_airflow.protocols.events import ProtocolError


class StreamKey(NamedTuple):
    """What tells a stream from all others."""

    name: str
    namespace: str | None = None

    @property
    def text(self) -> str:
        """The stream for a text."""
        return f"`{self.namespace}.{self.name}`" if self.namespace else f"`{self.name}`"

    @property
    def descriptor(self) -> dict[str, Any]:
        """The stream as messages of the protocol name it."""
        return {"name": self.name, "namespace": self.namespace} if self.namespace else {"name": self.name}


def descriptor_key(descriptor: Any) -> StreamKey:
    """Return the stream that a descriptor names.

    :raises ProtocolError: it is no descriptor
    """
    name = descriptor.get("name") if isinstance(descriptor, Mapping) else None
    if not isinstance(name, str):
        raise ProtocolError("a line of its output describes a stream without a `name`")
    namespace = descriptor.get("namespace")
    return StreamKey(name, namespace if isinstance(namespace, str) and namespace else None)


def dotted(path: Any) -> str | None:
    """Return a field's path as a name with dots; None: there is none."""
    if isinstance(path, str):  # some sources give a plain name where a path belongs
        return path or None
    if not isinstance(path, Sequence) or not path:
        return None
    return ".".join(str(part) for part in path)


def dotted_paths(paths: Any) -> tuple[str, ...]:
    """Return fields' paths as names with dots."""
    if not isinstance(paths, Iterable) or isinstance(paths, str | Mapping):
        return ()
    return tuple(name for name in map(dotted, paths) if name)


def path_of(name: str, schema: Mapping[str, Any]) -> list[str]:
    """Return the path of a field with dots; a field whose own name has dots is one part."""
    properties = schema.get("properties")
    if "." not in name or (isinstance(properties, Mapping) and name in properties):
        return [name]
    return name.split(".")
