"""A source's catalog as the store keeps it, so that it need not be asked at every run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.streams import OPEN_SCHEMA, Stream

FORMAT = 1
"""Of a kept catalog. A part of its key, so that one of another format is not found."""


def catalog_digest(manifest: Manifest, config: Mapping[str, Any]) -> str:
    """Return what stands for all that decides which streams a source has, but for its Connection.

    :param config: the step's rendered `with`; it cannot be read back from the result
    """
    parts = [
        FORMAT,
        manifest.name,
        manifest.version,
        manifest.image,
        manifest.entrypoint,
        manifest.protocol,
        manifest.process.model_dump() if manifest.process else None,
        {**manifest.defaults, **config},
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def streams_to_json(streams: Iterable[Stream]) -> list[dict[str, Any]]:
    """Return streams with all that is known of them."""
    return [
        {
            "name": stream.name,
            "schema": dict(stream.schema),
            "primary_key": list(stream.primary_key),
            "cursor": stream.cursor,
            "namespace": stream.namespace,
            "automatic": sorted(stream.automatic),
            "incremental": stream.incremental,
            "raw": stream.raw,
        }
        for stream in streams
    ]


def streams_from_json(value: Iterable[Mapping[str, Any]]) -> list[Stream]:
    """Return the streams that :func:`streams_to_json` gave."""
    return [
        Stream(
            name=each["name"],
            schema=each.get("schema") or dict(OPEN_SCHEMA),
            primary_key=tuple(each.get("primary_key") or ()),
            cursor=each.get("cursor"),
            namespace=each.get("namespace"),
            automatic=frozenset(each.get("automatic") or ()),
            incremental=bool(each.get("incremental")),
            raw=each.get("raw"),
        )
        for each in value
    ]
