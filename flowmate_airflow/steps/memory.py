"""What a step remembers beyond its run: in the store, or nowhere for a run by hand."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.batches.batch import BatchValue
from flowmate_airflow.steps.calls import StepRun
from flowmate_airflow.store import catalogs, deadletters, links, results, secrets, states
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import Store, open_store

CATALOG_AGE = timedelta(days=1)
"""How long what a source said about its streams is taken for true without asking again."""


@dataclass(frozen=True, slots=True)
class KnownCatalog:
    """What a source said about its streams.

    :param streams: as JSON
    :param is_old: whether it should be asked again
    """

    streams: Any
    is_old: bool


class Memory(ABC):
    """What one step of one run may remember, and what it remembers from earlier runs and tries."""

    @abstractmethod
    def state(self) -> Any:
        """Return what the component stored at its last successful run."""

    @abstractmethod
    def keep_state(self, state: Any) -> None:
        """Hold a state until all that got the step's messages have succeeded."""

    @abstractmethod
    def changed_credentials(self, account: Account, connector: str) -> dict[str, Any]:
        """Return the credentials that a connector changed, by the names of its manifest."""

    @abstractmethod
    def keep_credentials(self, account: Account, connector: str, changed: Mapping[str, Any]) -> None:
        """Keep credentials that a connector changed, beside those it changed before."""

    @abstractmethod
    def catalog(self, connector: str, connection: str, digest: str) -> KnownCatalog | None:
        """Return a source's catalog from when it was last asked."""

    @abstractmethod
    def keep_catalog(self, connector: str, connection: str, digest: str, streams: Any) -> None:
        """Keep a source's catalog."""

    @abstractmethod
    def tried(self, fingerprint: str) -> tuple[set[str], BatchValue | None]:
        """Return which messages earlier tries of the task have done, and the batch that came of it.

        :param fingerprint: of the input; what was done of another one does not count
        """

    @abstractmethod
    def keep_tried(self, fingerprint: str, done: Iterable[str], value: BatchValue) -> None:
        """Keep what a try has done that failed in the end."""

    @abstractmethod
    def forget_tried(self) -> None:
        """Forget the tries: the task is done."""

    @abstractmethod
    def keep_letters(self, letters: Iterable[DeadLetter]) -> None:
        """Keep messages that failed."""

    @abstractmethod
    def remote_ids(self, scope: links.LinkScope, external_ids: Iterable[str]) -> dict[str, str]:
        """Return the ids that the other system gave, by external id."""

    @abstractmethod
    def keep_remote_ids(self, scope: links.LinkScope, pairs: Iterable[tuple[str, str]]) -> None:
        """Keep external ids with the ids that the other system gave."""


class StoreMemory(Memory):
    """Remembers in the store, which is opened when it is first needed: most steps have nothing to remember."""

    def __init__(self, run: StepRun, map_index: int) -> None:
        self._run = run
        self._map_index = map_index
        self._place = states.Place(run.flow, run.step, run.tenant)
        self._task = results.TaskKey(run.flow, run.run_id, run.step, map_index, run.tenant)
        self._opened: Store | None = None
        self._read_at: int | None = None

    @property
    def _store(self) -> Store:
        if self._opened is None:
            self._opened = open_store()
        return self._opened

    def state(self) -> Any:
        """See :meth:`Memory.state`. What an earlier try of the same run holds is dropped: this one reads anew."""
        if self._map_index < 0:
            states.drop_held(self._store, self._place, self._run.run_id)
        self._read_at = states.generation(self._store, self._place)
        return states.read_state(self._store, self._place)

    def keep_state(self, state: Any) -> None:
        """See :meth:`Memory.keep_state`. One that was reset by hand meanwhile stays reset."""
        states.hold_state(self._store, self._place, self._run.run_id, state, read_at=self._read_at)

    def changed_credentials(self, account: Account, connector: str) -> dict[str, Any]:
        """See :meth:`Memory.changed_credentials`."""
        # Of the Connection, whoever's run it is: tenants may share one.
        return secrets.changed(self._store, account.conn_id, connector, account_digest(account))

    def keep_credentials(self, account: Account, connector: str, changed: Mapping[str, Any]) -> None:
        """See :meth:`Memory.keep_credentials`."""
        values = {**self.changed_credentials(account, connector), **changed}
        secrets.save_changed(self._store, account.conn_id, connector, values, account_digest(account))

    def catalog(self, connector: str, connection: str, digest: str) -> KnownCatalog | None:
        """See :meth:`Memory.catalog`."""
        key = catalogs.CatalogKey(connector, connection, digest, self._run.tenant)
        found = catalogs.cached_catalog(self._store, key)
        if found is None:
            return None
        streams, saved_at = found
        return KnownCatalog(streams, datetime.now(timezone.utc) - saved_at > CATALOG_AGE)

    def keep_catalog(self, connector: str, connection: str, digest: str, streams: Any) -> None:
        """See :meth:`Memory.keep_catalog`."""
        key = catalogs.CatalogKey(connector, connection, digest, self._run.tenant)
        catalogs.save_catalog(self._store, key, streams)

    def tried(self, fingerprint: str) -> tuple[set[str], BatchValue | None]:
        """See :meth:`Memory.tried`."""
        if self._run.try_number <= 1:
            return set(), None
        partial = results.partial(self._store, self._task)
        if partial is None or partial.get("input") != fingerprint:
            results.forget(self._store, self._task)
            return set(), None
        return results.done_ids(self._store, self._task), partial["batch"]

    def keep_tried(self, fingerprint: str, done: Iterable[str], value: BatchValue) -> None:
        """See :meth:`Memory.keep_tried`."""
        if self._run.try_number <= 1:
            results.forget(self._store, self._task)  # of a run of the same name, which was deleted
        else:
            # What is done must not count with the batch of an earlier try, which has nothing of what came of it.
            results.keep_partial(self._store, self._task, {})
        results.note_results(self._store, self._task, (results.Result(each) for each in done))
        # Last: without it the messages are simply sent again.
        results.keep_partial(self._store, self._task, {"input": fingerprint, "batch": value})

    def forget_tried(self) -> None:
        """See :meth:`Memory.forget_tried`."""
        if self._run.try_number > 1:
            results.forget(self._store, self._task)

    def keep_letters(self, letters: Iterable[DeadLetter]) -> None:
        """See :meth:`Memory.keep_letters`."""
        deadletters.keep(self._store, letters)

    def remote_ids(self, scope: links.LinkScope, external_ids: Iterable[str]) -> dict[str, str]:
        """See :meth:`Memory.remote_ids`."""
        return links.remote_ids(self._store, scope, external_ids)

    def keep_remote_ids(self, scope: links.LinkScope, pairs: Iterable[tuple[str, str]]) -> None:
        """See :meth:`Memory.keep_remote_ids`."""
        links.remember(self._store, scope, pairs)


class NoMemory(Memory):
    """Remembers nothing: for a run by hand, which must not change what the scheduled ones rest on.

    :param state: what stands for the stored state
    """

    def __init__(self, state: Any = None) -> None:
        self._state = state
        self.kept_state: Any = None
        self.letters = 0

    def state(self) -> Any:
        """See :meth:`Memory.state`."""
        return self._state

    def keep_state(self, state: Any) -> None:
        """See :meth:`Memory.keep_state`."""
        self.kept_state = state

    def changed_credentials(self, account: Account, connector: str) -> dict[str, Any]:
        """See :meth:`Memory.changed_credentials`. These are read from the store: an old token does not work."""
        try:
            return secrets.changed(open_store(), account.conn_id, connector, account_digest(account))
        except StoreError:
            return {}  # there is no store on this machine

    def keep_credentials(self, account: Account, connector: str, changed: Mapping[str, Any]) -> None:
        """See :meth:`Memory.keep_credentials`. These are kept all the same: the old token does not work any more."""
        values = {**self.changed_credentials(account, connector), **changed}
        secrets.save_changed(open_store(), account.conn_id, connector, values, account_digest(account))

    def catalog(self, connector: str, connection: str, digest: str) -> KnownCatalog | None:
        """See :meth:`Memory.catalog`."""
        return None

    def keep_catalog(self, connector: str, connection: str, digest: str, streams: Any) -> None:
        """See :meth:`Memory.keep_catalog`."""

    def tried(self, fingerprint: str) -> tuple[set[str], BatchValue | None]:
        """See :meth:`Memory.tried`."""
        return set(), None

    def keep_tried(self, fingerprint: str, done: Iterable[str], value: BatchValue) -> None:
        """See :meth:`Memory.keep_tried`."""

    def forget_tried(self) -> None:
        """See :meth:`Memory.forget_tried`."""

    def keep_letters(self, letters: Iterable[DeadLetter]) -> None:
        """See :meth:`Memory.keep_letters`."""
        self.letters += sum(1 for _ in letters)

    def remote_ids(self, scope: links.LinkScope, external_ids: Iterable[str]) -> dict[str, str]:
        """See :meth:`Memory.remote_ids`."""
        return {}

    def keep_remote_ids(self, scope: links.LinkScope, pairs: Iterable[tuple[str, str]]) -> None:
        """See :meth:`Memory.keep_remote_ids`."""


def account_digest(account: Account) -> str:
    """Return what stands for a Connection as it is: credentials kept beside it are void when somebody changes it."""
    parts = [account.login, account.password, account.host, account.port, account.schema, dict(account.extra)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode(errors="surrogatepass")).hexdigest()
