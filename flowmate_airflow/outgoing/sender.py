"""All notices that are due, sent: some at once to each target, so that a slow one holds up no other."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import timedelta

from flowmate_airflow.outgoing.post import Outcome, post
from flowmate_airflow.outgoing.retries import next_try
from flowmate_airflow.outgoing.targets import OPTION, Target, TargetError
from flowmate_airflow.store.outgoing import (
    Notice,
    claim,
    drop_strangers,
    due_targets,
    postpone,
    purge,
    settle_failed,
    settle_sent,
)
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Requests at once to one target."""
LEASE = 90.0
"""Seconds in which no other worker takes a notice: more than a name's look-up and a request may take."""
LOOK = 0.5
"""Seconds between two looks for what has become due meanwhile."""
LONGEST = 600.0
"""Seconds after which no new notice is begun; another run goes on."""
MANY_FAILURES = 3
"""In a row, after which a target is left alone for :data:`PAUSE`."""
PAUSE = timedelta(seconds=30)


@dataclass(slots=True)
class Tally:
    """What came of the notices."""

    sent: int = 0
    again: int = 0
    failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, name: str) -> None:
        """Count one."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)


class Sender:
    """Sends what is due.

    :param store: where it waits
    :param targets: by conn_id; the error of those whose Connection cannot be one
    """

    def __init__(self, store: Store, targets: Mapping[str, Target | TargetError]) -> None:
        self.tally = Tally()
        self._store = store
        self._targets = targets
        self._ending = threading.Event()
        self._worker = f"{os.uname().nodename[:100]}-{os.getpid()}-{secrets.token_hex(4)}"

    def send_due(self, seconds: float = LONGEST) -> Tally:
        """Send until nothing is due any more, and return what came of it.

        :param seconds: after which no new notice is begun
        :raises StoreError: the store fails
        """
        end = time.monotonic() + seconds
        dropped = drop_strangers(self._store, self._targets, f"{OPTION} does not name it any more")
        if dropped:
            log.warning("%d notices fail, as %s does not name their targets any more", dropped, OPTION)
        if self._store.is_due("outgoing"):
            purge(self._store)
        busy: dict[Future[None], str] = {}
        with ThreadPoolExecutor(max(1, AT_ONCE * len(self._targets)), "outgoing") as threads:
            try:
                while True:
                    if time.monotonic() >= end:
                        self._ending.set()
                    else:
                        for target in self._idle(busy):
                            busy |= {threads.submit(self._drain, target): target for _ in range(AT_ONCE)}
                    if not busy:
                        return self.tally
                    done, _ = wait(busy, LOOK, FIRST_COMPLETED)
                    for future in done:
                        del busy[future]
                        future.result()
            finally:
                self._ending.set()

    def _idle(self, busy: Mapping[Future[None], str]) -> list[str]:
        """Return the targets with notices that are due and that no thread of ours sees to."""
        return sorted(due_targets(self._store).intersection(self._targets).difference(busy.values()))

    def _drain(self, conn_id: str) -> None:
        """Send what is due for a target, one by one, until there is nothing or it is better left alone."""
        failures = 0
        while not self._ending.is_set():
            taken = claim(self._store, self._worker, conn_id, seconds=LEASE)
            if not taken:
                return
            outcome = self._send(conn_id, taken[0])
            self._settle(taken[0], outcome)
            failures = failures + 1 if outcome.is_down else 0
            pause = outcome.pause or (PAUSE if failures >= MANY_FAILURES else None)
            if pause:
                postpone(self._store, conn_id, now() + pause)
                log.warning("%s is left alone for %d s", conn_id, pause.total_seconds())
                return

    def _send(self, conn_id: str, notice: Notice) -> Outcome:
        target = self._targets[conn_id]
        if isinstance(target, TargetError):
            return Outcome(None, str(target))
        return post(target, notice.message_id, notice.payload)

    def _settle(self, notice: Notice, outcome: Outcome) -> None:
        what = f"{notice.event} ({notice.message_id}) to {notice.target}"
        if outcome.error is None:
            settle_sent(self._store, notice, outcome.status or 0)
            self.tally.add("sent")
            log.info("%s: sent, answered %s", what, outcome.status)
            return
        again = None if outcome.is_final else next_try(notice.attempts, notice.message_id, now(), outcome.pause)
        settle_failed(self._store, notice, outcome.error, outcome.status, again)
        self.tally.add("again" if again else "failed")
        when = f"tried again at {again:%Y-%m-%d %H:%M:%S} UTC" if again else "not tried again"
        log.log(logging.WARNING if again else logging.ERROR, "%s: %s; %s", what, outcome.error, when)
