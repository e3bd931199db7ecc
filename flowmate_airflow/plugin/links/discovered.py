"""What is known of a link's source: its tables and fields, as it said when it was asked last."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.catalogs import catalog_digest, streams_from_json
from flowmate_airflow.steps.schemafields import fields_of
from flowmate_airflow.store.catalogs import CatalogKey, cached_catalog
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.store import Store

MAX_FIELDS = 5000
"""Of one table, that are told."""


def known_tables(store: Store, manifest: Manifest, row: Linked) -> tuple[list[Stream], datetime] | None:
    """Return a link's tables and when its source was asked; None where it was not.

    :raises StoreError: the store cannot be read
    """
    key = CatalogKey(manifest.name, row.conn_id, catalog_digest(manifest, {}), row.tenant)
    found = cached_catalog(store, key)
    return None if found is None else (streams_from_json(found[0]), found[1])


def table_fields(stream: Stream) -> list[str]:
    """Return the names of a table's fields, with dots where they are nested."""
    return list(islice((name for name, _ in fields_of(stream.schema).walk()), MAX_FIELDS))
