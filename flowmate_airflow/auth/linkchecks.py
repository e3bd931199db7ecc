"""Looking after links: whether their credentials work, and what their accounts have."""

from __future__ import annotations

import logging
from dataclasses import replace

from flowmate_airflow.auth import connections
from flowmate_airflow.auth.errors import Kind, LoginError
from flowmate_airflow.auth.firstruns import start_first_runs
from flowmate_airflow.auth.linkkeeping import DISCOVERED, LinkError, keep_changed, noted, tell
from flowmate_airflow.auth.links import manifest_in, subject_of
from flowmate_airflow.auth.probing import NoRuntime, Probe, Subject, probe, streams_of
from flowmate_airflow.auth.renewing import fresh
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.steps.catalogs import catalog_digest, streams_to_json
from flowmate_airflow.steps.conversations import has_streams
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.memory import account_digest
from flowmate_airflow.store import linked as links
from flowmate_airflow.store.catalogs import CatalogKey, save_catalog
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.secrets import changed as changed_earlier
from flowmate_airflow.store.store import Store, open_store

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds that credentials may take to be renewed."""


def check(
    catalog: Catalog, tenant: str, connector: str, *, component: bool = True, store: Store | None = None
) -> Probe:
    """Find out whether a link's credentials work, and keep what was found out.

    :param component: whether the connector may be started for it
    :raises LinkError: there is no such link
    :raises StoreError: the store or Airflow's database cannot be used
    """
    store = store or open_store()
    row = _found(store, tenant, connector)
    try:
        subject = _subject(catalog, store, row)
    except LoginError as error:
        links.note_check(store, tenant, connector, error.text)
        return Probe(error.text, may_pass=error.kind == "transient")
    found = probe(subject, component=component)
    noted(store, row, subject, found)
    return found


def discover(catalog: Catalog, tenant: str, connector: str, *, store: Store | None = None) -> int | None:
    """Ask a link's source which streams it has, keep them, and tell it; None: it cannot say, or not here.

    :return: how many streams
    :raises LoginError: there is no such link, or its credentials cannot be used
    :raises StepError: the source gave none
    :raises StoreError: the store or Airflow's database cannot be used
    """
    store = store or open_store()
    row = _found(store, tenant, connector)
    manifest = manifest_in(catalog, connector)
    # Of ours, some know `discover`, and say so only when they are asked.
    is_ours = not manifest.is_foreign and bool(manifest.triggers)
    if not has_streams(manifest) and not is_ours:
        return None
    try:
        subject = _subject(catalog, store, row)
        streams = streams_of(subject, lambda changed: keep_changed(store, subject, changed))
    except NoRuntime as error:
        log.info("%s is not asked for its streams: %s", manifest.name, error)
        return None
    except StepError as error:
        if is_ours:
            return None
        tell(DISCOVERED, row, ok=False, error=str(error))
        raise
    except LoginError as error:
        tell(DISCOVERED, row, ok=False, error=str(error))
        raise
    key = CatalogKey(manifest.name, row.conn_id, catalog_digest(manifest, {}), tenant)
    save_catalog(store, key, streams_to_json(streams))
    tell(DISCOVERED, row, ok=True, streams=len(streams))
    return len(streams)


def after_link(
    catalog: Catalog, tenant: str, connector: str, *, is_checked: bool = False, store: Store | None = None
) -> str | None:
    """Do what follows a link and may take a while: check it, ask what it has, and start first runs of the flows that
    want them. Nothing here undoes the link.

    :param is_checked: whether it was checked already, by the connector itself where that needs it
    :return: what went wrong, in a sentence without secrets; None: nothing
    """
    store = store or open_store()
    try:
        if not is_checked:
            found = check(catalog, tenant, connector, store=store)
            if found.problem is not None:
                return found.problem
        discover(catalog, tenant, connector, store=store)
    except (LoginError, StepError, StoreError) as error:
        return str(error)
    row = links.find(store, tenant, connector)
    if row is not None and row.problem is None:
        start_first_runs(tenant, connector)
    return None


def _found(store: Store, tenant: str, connector: str) -> Linked:
    row = links.find(store, tenant, connector)
    if row is None or row.is_template:
        raise LinkError(f"the tenant {tenant} has not linked {connector}")
    return row


def _subject(catalog: Catalog, store: Store, row: Linked) -> Subject:
    """Return a link with fresh credentials.

    :raises LoginError: there are none
    """
    manifest = manifest_in(catalog, row.connector)
    stored = connections.read(row.conn_id)
    if stored is None:
        raise LinkError(f"its Connection `{row.conn_id}` is gone; link it again")
    renewed = fresh(stored, PATIENCE)
    if renewed.problem is not None:
        raise LoginError(renewed.problem.text, _KINDS[renewed.problem.kind])
    subject = subject_of(manifest, row, renewed.stored, catalog)
    return _with_changed(store, subject)


_KINDS: dict[str, Kind] = {
    "needs_reauth": "needs_reauth",
    "pending": "transient",
    "cooling": "transient",
    "failed": "config",
}


def _with_changed(store: Store, subject: Subject) -> Subject:
    """Return what is probed with the credentials that the connector changed earlier."""
    account = subject.account
    changed = changed_earlier(store, account.conn_id, subject.manifest.name, account_digest(account))
    return replace(subject, changed=changed)
