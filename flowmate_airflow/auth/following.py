"""What follows links in a server: in threads of its own, as a source may take minutes to say what it has.

Airflow's API server has some forty threads for all that tasks ask of it, their heartbeats among it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

from flowmate_airflow.auth.linkchecks import after_link
from flowmate_airflow.catalog.catalog import Catalog

log = logging.getLogger(__name__)

MAX_THREADS = 2
MAX_WAITING = 500
"""Links that may wait for it."""


class Follower:
    """Does what follows links, one after the other.

    :param work: does it for a tenant and a connector of a catalog
    """

    def __init__(self, work: Callable[[Catalog, str, str], object]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], Catalog] = {}
        self._threads = 0

    def follow(self, catalog: Catalog, tenant: str, connector: str) -> bool:
        """Let it be done soon, once for all who ask until it begins; return whether it will be."""
        with self._lock:
            if (tenant, connector) not in self._waiting and len(self._waiting) >= MAX_WAITING:
                log.warning(
                    "The link of the tenant %s to %s is not asked what it has: %s others wait",
                    tenant,
                    connector,
                    MAX_WAITING,
                )
                return False
            self._waiting[tenant, connector] = catalog
            if self._threads < MAX_THREADS:
                # A server that ends does not wait for them: the link is there, and can be asked again.
                threading.Thread(target=self._run, name="flowmate-links", daemon=True).start()
                self._threads += 1
        return True

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads -= 1
                    return
                tenant, connector = next(iter(self._waiting))
                catalog = self._waiting.pop((tenant, connector))
            try:
                self._work(catalog, tenant, connector)
            except Exception as error:  # the next ones are nobody's fault
                log.warning("What follows the link of %s to %s failed: %s", tenant, connector, type(error).__name__)


def follow(catalog: Catalog, tenant: str, connector: str) -> bool:
    """Ask a source that was linked, and checked, what it has, and start first runs: see :meth:`Follower.follow`."""
    return _follower.follow(catalog, tenant, connector)


def _new() -> Follower:
    return Follower(lambda catalog, tenant, connector: after_link(catalog, tenant, connector, is_checked=True))


def _renew() -> None:
    global _follower
    _follower = _new()


_follower = _new()
# A child has none of its parent's threads.
os.register_at_fork(after_in_child=_renew)
