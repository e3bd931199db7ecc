"""The catalog of a step's source, for the command line: as the store has it, or asked for here and kept."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from flowmate_airflow.auth.credentials import Account, secrets_of, texts_in
from flowmate_airflow.auth.masking import Masker
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.cli.accounts import find_account
from flowmate_airflow.cli.engines import Engines
from flowmate_airflow.cli.runcontext import RunFacts, context_of, environment
from flowmate_airflow.flows.models import UseStep
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.asking import discover
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.catalogs import catalog_digest, streams_from_json, streams_to_json
from flowmate_airflow.steps.conversations import has_streams
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.memory import NoMemory
from flowmate_airflow.steps.runtimes import RuntimeName
from flowmate_airflow.steps.templates import render
from flowmate_airflow.store.catalogs import CatalogKey, cached_catalog, previous_catalog, save_catalog
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import Store, open_store


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a source had at an earlier time."""

    streams: list[Stream]
    at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What a source has.

    :param at: when it said so
    :param from_store: whether that was not now
    :param before: what it had when it was asked the time before
    """

    streams: list[Stream]
    at: datetime
    from_store: bool = False
    before: Earlier | None = None


def ask_source(step: UseStep, manifest: Manifest, facts: RunFacts, runtime: RuntimeName, *, refresh: bool) -> Asked:
    """Return what a step's source has.

    :param refresh: ask it although the store knows
    :raises StepError: it cannot be asked, or gave no answer; the text holds no secrets
    """
    if manifest.protocol != "component" and not has_streams(manifest):
        raise ConfigFailure(_cannot(manifest, "its manifest says `discover: false`"))
    mask = Masker()
    try:
        account = None
        if step.connection is not None:
            account = find_account(step.connection, step.id, step.use, manifest=manifest)
        mask.add(secrets_of(account))
        config = render(step.with_, context_of(facts), environment())
        run = StepRun(facts.flow_id, facts.run_id, step.id, tenant=facts.tenant)
        call = StepCall(manifest, step.use, run, config, account=account)
        return _asked(call, runtime, mask, refresh=refresh)
    except StepError as error:
        raise type(error)(mask(str(error)), error.exit_code) from None


def _asked(call: StepCall, runtime: RuntimeName, mask: Masker, *, refresh: bool) -> Asked:
    conn_id = call.account.conn_id if call.account else ""
    key = CatalogKey(call.manifest.name, conn_id, catalog_digest(call.manifest, call.config), call.run.tenant)
    store, known, previous = _stored(key)
    if known and not refresh:
        return Asked(known.streams, known.at, from_store=True, before=previous)
    streams = _ask(call, runtime, mask)
    if store:
        try:
            save_catalog(store, key, streams_to_json(streams))
        except StoreError as error:
            _tell(f"the catalog is not kept: {error}")
    return Asked(streams, datetime.now(timezone.utc), before=known or previous)


def _ask(call: StepCall, runtime: RuntimeName, mask: Masker) -> list[Stream]:
    manifest, account = call.manifest, call.account
    if account is not None:
        changed = NoMemory().changed_credentials(account, manifest.name)
        mask.add(texts_in(changed))
        call = replace(call, changed=changed)
    log = logging.Logger("flowmate.discover")
    log.addHandler(_ToStandardError(logging.WARNING))
    with Engines(runtime, log) as engines:
        try:
            answer = discover(
                engines.runtime(manifest),
                manifest,
                call.request(verb="discover"),
                runtime_name=runtime,
                log=lambda level, text: _tell(mask(text)) if level >= logging.WARNING else None,
                labels={"flowmate.flow": call.run.flow, "flowmate.step": call.run.step},
                mask=mask,
                on_changed=lambda changed: _keep(account, manifest, changed, mask),
            )
        except StepError as error:
            raise _with_advice(error, manifest) from None
    return list(answer.streams or ())


def _with_advice(error: StepError, manifest: Manifest) -> StepError:
    """Return the failure with what to do, as far as it is known."""
    silent = "no catalog" in str(error)  # and no error of its own
    if manifest.protocol == "component" and (silent or isinstance(error, ConfigFailure)):
        return ConfigFailure(f"{error}. {_BY_HAND.format(name=manifest.name)}", error.exit_code)
    if isinstance(error, TransientFailure) and not silent:
        return TransientFailure(f"{error}; it may work when it is tried again", error.exit_code)
    return error


_BY_HAND = (
    "Not every connector can tell its tables; then write `select` by hand, "
    "`flowmate connectors show {name}` tells what it reads"
)


def _cannot(manifest: Manifest, why: str) -> str:
    return f"`{manifest.name}` cannot tell its tables: {why}. {_BY_HAND.format(name=manifest.name)}"


def _keep(account: Account | None, manifest: Manifest, changed: Mapping[str, Any], mask: Masker) -> None:
    """Keep credentials that the source changed: those of the Connection may not work any more."""
    mask.add(texts_in(changed))
    names = ", ".join(sorted(changed))
    try:
        if account is not None:
            NoMemory().keep_credentials(account, manifest.name, changed)
    except StoreError as error:
        _tell(f"the source changed {names} and the new values are lost, which may end the login: {error}")


def _earlier(kept: tuple[Any, datetime] | None) -> Earlier | None:
    return None if kept is None else Earlier(streams_from_json(kept[0]), kept[1])


def _stored(key: CatalogKey) -> tuple[Store | None, Earlier | None, Earlier | None]:
    """Return the store, the catalog that it has, and the one before; nothing where it cannot be used."""
    try:
        store = open_store()
        return store, _earlier(cached_catalog(store, key)), _earlier(previous_catalog(store, key))
    except StoreError as error:
        _tell(f"the catalog is neither compared nor kept: {error}")
        return None, None, None


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


class _ToStandardError(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        _tell(record.getMessage())
