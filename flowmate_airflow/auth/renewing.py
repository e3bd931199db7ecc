"""Renewing what a login has brought: once, whoever asks for it, however many do, in however many processes.

In a process one thread renews a Connection, and all who ask wait for it. Between processes a row of the store says who
renews (:mod:`flowmate_airflow.store.renewals`). The provider is asked while no transaction is open; what it answers is
committed before anybody gets it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitedLongEnough

from flowmate_airflow.auth.ages import is_due, is_valid, lasts
from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.refusals import is_refused
from flowmate_airflow.auth.renewal import Fresh, renew_stored
from flowmate_airflow.auth.views import Problem

log = logging.getLogger(__name__)

WAIT_SECONDS = 4.0
"""How long one who asks waits: a task's own request to the API server ends after five, `[workers]
execution_api_timeout`."""
MAX_WAITING = 8
"""Threads of one process that may wait at once: the API server has some forty for all that it does."""
MAX_RENEWING = 8
"""Connections for one connector that one process renews at once: a provider that hangs keeps no other one waiting."""


class Renewer:
    """Renews the Connections of one process.

    :param renew: renews one, by its conn_id and the digest of a token that was refused; None: it is not there any more
    """

    def __init__(self, renew: Callable[[str, str | None], Fresh | None]) -> None:
        self._renew = renew
        self._lock = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._running: dict[str, Future[Fresh | None]] = {}
        self._threads: dict[str, ThreadPoolExecutor] = {}

    def fresh(self, stored: Stored, wait: float = WAIT_SECONDS, refused: str | None = None) -> Fresh:
        """Return a Connection of Airflow's database with fresh credentials, or what stands against them.

        One whose credentials are good for a while is returned at once, also when they are renewed meanwhile.

        :param wait: seconds that this may take
        :param refused: digest of a token that the other system has refused
        """
        must = is_refused(stored.grant, refused)
        if not must and not is_due(stored.conn_id, stored.grant):
            return Fresh(stored)
        running = self._begin(stored, refused if must else None)
        if not must and lasts(stored.grant):
            return Fresh(stored)
        found = self._result(running, stored, wait)
        if not must and found.problem is not None and is_valid(found.stored.grant):
            return Fresh(found.stored)  # it is not over yet, and nothing better is to be had
        return found

    def _begin(self, stored: Stored, refused: str | None) -> Future[Fresh | None]:
        conn_id, connector = stored.conn_id, str(stored.mark.get("connector"))
        with self._lock:
            running = self._running.get(conn_id)
            if running is None:
                threads = self._threads.get(connector)
                if threads is None:
                    threads = ThreadPoolExecutor(MAX_RENEWING, thread_name_prefix="flowmate-renewal")
                    self._threads[connector] = threads
                running = self._running[conn_id] = threads.submit(self._run, conn_id, refused)
        return running

    def _run(self, conn_id: str, refused: str | None) -> Fresh | None:
        try:
            return self._renew(conn_id, refused)
        finally:
            with self._lock:
                self._running.pop(conn_id, None)

    def _result(self, running: Future[Fresh | None], stored: Stored, wait: float) -> Fresh:
        if not self._waiting.acquire(blocking=False):
            return Fresh(stored, _pending(stored.conn_id))
        try:
            found = running.result(wait)
        except WaitedLongEnough:
            return Fresh(stored, _pending(stored.conn_id))
        except Exception as error:
            log.warning("The Connection %s could not be renewed: %s", stored.conn_id, type(error).__name__)
            return Fresh(stored, Problem("cooling", f"the Connection `{stored.conn_id}` could not be renewed just now"))
        finally:
            self._waiting.release()
        return found or Fresh(stored, Problem("failed", f"the Connection `{stored.conn_id}` was removed"))


def fresh(stored: Stored, wait: float = WAIT_SECONDS, refused: str | None = None) -> Fresh:
    """Return a Connection with fresh credentials: see :meth:`Renewer.fresh`."""
    return _renewer.fresh(stored, wait, refused)


def _pending(conn_id: str) -> Problem:
    return Problem("pending", f"the credentials of the Connection `{conn_id}` are being renewed")


def _new_renewer() -> None:
    global _renewer
    _renewer = Renewer(renew_stored)


_renewer = Renewer(renew_stored)
# A child has none of its parent's threads, so it must not wait for them.
os.register_at_fork(after_in_child=_new_renewer)
