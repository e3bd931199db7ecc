"""The store, as the receiver uses it. It is opened when it is first needed, and again after it could not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from flowmate_airflow.store import claims, deliveries, endpoints, purges, replies, subscriptions, waiting
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.opened import Opened
from flowmate_airflow.store.payloads import spill_to

if TYPE_CHECKING:
    from flowmate_airflow.store.claims import Owner
    from flowmate_airflow.store.deliveries import NewDelivery, Stored
    from flowmate_airflow.store.replies import Reply
    from flowmate_airflow.store.store import Store


class Inbox:
    """Where deliveries are kept. All methods wait for the database, and raise StoreError.

    :param open_store: returns the store
    :param files: where large payloads are kept, `[flowmate] batch_url`
    """

    def __init__(self, open_store: Callable[[], Store], files: str) -> None:
        self._open = open_store
        self._spill = spill_to(files)
        self._opened_tokens, self._opened_secrets = Opened(), Opened()

    def insert(self, new: Sequence[NewDelivery]) -> list[Stored]:
        """Keep deliveries, all in one transaction."""
        try:
            store = self._open()
        except Exception as error:
            # None of the deliveries is to blame, so that it makes no sense to try them one by one.
            told = error if isinstance(error, StoreError) else f"the store cannot be opened: {type(error).__name__}"
            raise StoreError(str(told), transient=True) from None
        return deliveries.insert(store, new, self._spill)

    def first_waiting(self, endpoint: str, tenant: str) -> int | None:
        """Return the first delivery to an endpoint and tenant that a run could take now."""
        return waiting.first_waiting(self._open(), endpoint, tenant)

    def reject(self, endpoint: str, tenant: str, reason: str) -> None:
        """Note a request that was refused."""
        deliveries.reject(self._open(), endpoint, reason, tenant=tenant)

    def tokens(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Return the valid tokens of all endpoints."""
        return endpoints.tokens(self._open(), self._opened_tokens)

    def registered(self) -> Mapping[tuple[str, str], tuple[str, ...]]:
        """Return the secrets of endpoints whose address was registered, which no Connection has."""
        return subscriptions.secrets_for(self._open(), self._opened_secrets)

    def learn(self, endpoint: str, tenant: str, secret: str) -> None:
        """Keep a secret that a provider told."""
        endpoints.learn(self._open(), endpoint, secret, tenant)

    def purge(self, keep: Mapping[str, timedelta]) -> int:
        """Remove what is older than it is to be kept, by endpoint, and return how much it was."""
        return purges.purge(self._open(), keep)

    def give_up(self, endpoint: str, age: timedelta) -> int:
        """Leave as failed what nobody has taken for so long, and return how many there were."""
        return purges.give_up(self._open(), endpoint, age)

    def owners(self) -> Mapping[str, list[Owner]]:
        """Return who has deliveries, by their endpoint."""
        return claims.owners(self._open())

    def settle(self, owner: Owner, *, ok: bool) -> None:
        """Say how a run has ended; what it has waits for another one at once, unless all went well."""
        error = "" if ok else f"{owner} is over"
        claims.settle(self._open(), owner, ok=ok, error=error, delay=timedelta(0))

    def replies(self, numbers: Sequence[int]) -> Mapping[int, Reply]:
        """Return the answers that there are to some deliveries."""
        return replies.get_replies(self._open(), numbers)
