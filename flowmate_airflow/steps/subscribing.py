"""Keeping what is registered with other systems as the flows that are switched on want it.

What fails is tried again later and told; the others go on. A change is made by registering anew first and taking the
old one back after that, so that no event is missed between the two.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from flowmate_airflow.protocols.events import SubscriptionEvent
from flowmate_airflow.steps.calls import StepRun
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.registrar import Registrar
from flowmate_airflow.steps.steplog import Log
from flowmate_airflow.steps.subscriptionrules import (
    FRESH_FROM,
    MAX_EARLIER,
    MAX_ENDING,
    Wanted,
    gone,
    is_same,
    renewal_of,
    wait_after,
)
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store
from flowmate_airflow.store.subscriptions import (
    ACTIVE,
    ASKED,
    ENDED,
    FAILED,
    MADE,
    PENDING,
    REFUSED,
    Registration,
    Subscription,
    find,
    forget_ended,
    save,
)


@dataclass(slots=True)
class Report:
    """What was done, as `flow step`; what failed, with the reason."""

    subscribed: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unchanged: int = 0


def synchronise(
    store: Store,
    registrar: Registrar,
    wanted: Sequence[Wanted],
    *,
    run_id: str,
    log: Log,
    is_over: Callable[[Subscription], bool] = lambda row: True,
    only: str | None = None,
    force: bool = False,
    clock: Callable[[], datetime] = now,
) -> Report:
    """Subscribe, renew, change and take back, and return what was done.

    :param wanted: the subscriptions of all flows that are switched on
    :param run_id: of the run that does it
    :param is_over: whether it is sure that one that nobody wants is to go: its flow may be broken just now
    :param only: this flow only
    :param force: also what is to be tried again later only
    :raises StoreError: the store does not answer
    """
    sync = _Sync(store, registrar, run_id, log, force=force, clock=clock)
    rows = {row.key: row for row in find(store, only)}
    for each in wanted:
        if only in (None, each.flow):
            row = rows.pop(each.key, None) or Subscription(*each.key)
            sync.guarded(row, lambda row=row, each=each: sync.keep(row, each))  # type: ignore[misc]
    for row in rows.values():
        if row.status != ENDED and is_over(row):
            sync.guarded(row, lambda row=row: sync.end(row))  # type: ignore[misc]
    forget_ended(store)
    return sync.report


class _Sync:
    def __init__(
        self,
        store: Store,
        registrar: Registrar,
        run_id: str,
        log: Log,
        *,
        force: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self.report = Report()
        self._store = store
        self._registrar = registrar
        self._run_id = run_id
        self._log = log
        self._force = force
        self._clock = clock

    def guarded(self, row: Subscription, do: Callable[[], None]) -> None:
        """Let what goes wrong with one subscription not stop the others."""
        try:
            do()
        except StoreError as error:
            if error.transient:
                raise
            self._tell_failed(row, str(error))

    def keep(self, row: Subscription, wanted: Wanted) -> None:
        """Make a subscription what it should be."""
        if wanted.problem is not None:
            return self._cannot(row, wanted.problem)
        if row.status == FAILED and row.next_at is None and not row.ending:
            row = self._without_problem(row)
        is_fine = self._is_fine(row, wanted.digest)
        if not self._is_to_do(row, wanted.digest) or (is_fine and not row.earlier):
            self.report.unchanged += 1
        elif is_fine:
            self._take_earlier_back(row)
        else:
            self._subscribe(row, wanted)

    def end(self, row: Subscription) -> None:
        """Take all back that a step has registered."""
        if row.ending and not (self._force or row.is_due(self._clock())):
            self.report.unchanged += 1
            return
        if not row.is_readable:
            return self._ended(row, f"{row.error}; if it is there, remove it in the other system by hand")
        attempts = row.attempts if row.ending else 0
        left, error = self._take_back(row, [each for each in (row.current, *row.earlier) if each is not None])
        if not left:
            return self._ended(row, None)
        if attempts + 1 >= MAX_ENDING:
            return self._ended(row, f"given up, remove it in the other system by hand: {error}")
        current = row.current if row.current in left else gone(row.current)
        earlier = tuple(each for each in left if each is not current)
        self._failed(replace(row, current=current, earlier=earlier, ending=True, attempts=attempts), error)

    def _without_problem(self, row: Subscription) -> Subscription:
        """Return a row whose flow had a problem, for which nobody was asked: what was registered is still there."""
        current = row.current
        if current is None or current.state != MADE:
            return replace(row, status=PENDING)
        row = replace(row, status=ACTIVE, error=None, attempts=0, next_at=current.renewal)
        save(self._store, row)
        return row

    def _is_to_do(self, row: Subscription, digest: str) -> bool:
        """Whether anything is to be done now for a subscription that should be."""
        is_another = row.current is None or row.current.digest != digest or row.ending
        return self._force or is_another or row.status in (PENDING, ENDED) or row.is_due(self._clock())

    def _is_fine(self, row: Subscription, digest: str) -> bool:
        """Whether the subscription itself is as it should be, and not to be renewed yet."""
        current = row.current
        if current is None or current.digest != digest or row.status != ACTIVE:
            return False
        return current.renewal is None or current.renewal > self._clock()

    def _subscribe(self, row: Subscription, wanted: Wanted) -> None:
        try:
            row, attempt = self._attempt(row, wanted)
        except StepError as error:
            return self._failed(replace(row, ending=False), error)
        renews = attempt.state == MADE
        if not renews:
            # Before anybody is asked: whoever finds this row knows that there may be such a subscription.
            row = replace(row, status=PENDING, error=None, expires_at=None, next_at=None)
            save(self._store, row)
        outcome = self._registrar.subscribe(self._run(row), attempt, wanted.told(attempt), renews=renews)
        if outcome.made is None:
            state = MADE if renews else outcome.state
            return self._failed(replace(row, current=replace(attempt, state=state)), outcome.failure)
        row = self._made(row, attempt, outcome.made)
        if outcome.failure is not None:
            return self._failed(row, outcome.failure)
        (self.report.renewed if renews else self.report.subscribed).append(_name(row))
        self._log(logging.INFO, f"{_name(row)}: {attempt.use} {'renewed' if renews else 'subscribed'}")
        self._take_earlier_back(row)

    def _attempt(self, row: Subscription, wanted: Wanted) -> tuple[Subscription, Registration]:
        """Return what the connector is asked for next: it is to be renewed where its state is :data:`MADE`."""
        digest = wanted.digest
        known = [each for each in (row.current, *row.earlier) if each is not None and each.state != REFUSED]
        mine = next((each for each in known if each.digest == digest), None)
        is_again = row.current is not None and row.current.digest == digest and not row.ending
        attempts = row.attempts if is_again else 0
        attempt, others = mine or wanted.registration(), [each for each in known if each is not mine]
        expired = is_again and row.expires_at is not None and row.expires_at <= self._clock()
        if attempt.state == MADE and (expired or attempts >= FRESH_FROM or not self._registrar.renews(attempt)):
            others += [] if expired else [attempt]
            attempt = replace(attempt, state=ASKED, subscription=None, renew_at=None)
        earlier = self._bounded(row, others)
        return replace(row, current=attempt, earlier=earlier, ending=False, attempts=attempts), attempt

    def _made(self, row: Subscription, attempt: Registration, made: SubscriptionEvent) -> Subscription:
        renew_at = renewal_of(made.expires_at, self._clock())
        current = replace(
            attempt,
            state=MADE,
            subscription=made.subscription,
            secret=made.secret or attempt.secret,
            renew_at=renew_at.isoformat() if renew_at else None,
        )
        kept = replace(row, current=current, status=ACTIVE, error=None)
        return replace(kept, attempts=0, expires_at=made.expires_at, next_at=renew_at)

    def _take_earlier_back(self, row: Subscription) -> None:
        """Take back what was registered before the flow was changed, and keep the row."""
        current = row.current
        others = [each for each in row.earlier if not (current and is_same(each, current))]
        left, error = self._take_back(row, others)
        row = replace(row, earlier=tuple(left), error=None)
        renew_at = current.renewal if current else None
        if error is None:
            save(self._store, replace(row, attempts=0, next_at=renew_at))
            return
        again = self._clock() + wait_after(row.attempts, error)
        given_up = row.attempts + 1 >= MAX_ENDING
        text = f"an earlier subscription could not be taken back: {error}"
        row = replace(row, error=text, attempts=row.attempts + 1, next_at=min(filter(None, (again, renew_at))))
        if given_up:
            row = replace(row, earlier=(), attempts=0, next_at=renew_at, error=f"given up: {text}")
        save(self._store, row)
        self._tell_failed(row, row.error or "")

    def _take_back(
        self, row: Subscription, registrations: Sequence[Registration]
    ) -> tuple[list[Registration], StepError | None]:
        """Return what could not be taken back, and why."""
        left: list[Registration] = []
        failure: StepError | None = None
        for each in registrations:
            if each.state == REFUSED:
                continue
            if each.state == ASKED and not self._registrar.renews(each):
                self._log(logging.WARNING, f"{_name(row)}: nobody knows whether {each.use} had subscribed")
                continue
            try:
                self._registrar.unsubscribe(self._run(row), each)
            except StepError as error:
                left.append(each)
                failure = error
            else:
                self._log(logging.INFO, f"{_name(row)}: {each.use} unsubscribed")
        return left, failure

    def _bounded(self, row: Subscription, earlier: Sequence[Registration]) -> tuple[Registration, ...]:
        lost = len(earlier) - MAX_EARLIER
        if lost > 0:
            self._log(logging.WARNING, f"{_name(row)}: {lost} earlier subscriptions are not taken back: too many")
        return tuple(earlier[:MAX_EARLIER])

    def _failed(self, row: Subscription, error: StepError | None) -> None:
        wait = wait_after(row.attempts, error)
        text = f"it could not be taken back: {error}" if row.ending else str(error)
        row = replace(row, status=FAILED, error=text, attempts=row.attempts + 1, next_at=self._clock() + wait)
        save(self._store, row)
        self._tell_failed(row, text)

    def _cannot(self, row: Subscription, problem: str) -> None:
        if (row.status, row.error, row.ending) != (FAILED, problem, False):
            save(self._store, replace(row, status=FAILED, error=problem, ending=False, next_at=None))
        self._tell_failed(row, problem)

    def _ended(self, row: Subscription, error: str | None) -> None:
        current = gone(row.current)
        ended = replace(row, status=ENDED, current=current, earlier=(), ending=False, error=error, attempts=0)
        save(self._store, replace(ended, expires_at=None, next_at=None))
        if error is None:
            self.report.ended.append(_name(row))
        else:
            self._tell_failed(row, error)

    def _tell_failed(self, row: Subscription, text: str) -> None:
        self.report.failed[_name(row)] = text
        self._log(logging.ERROR, f"{_name(row)}: {text}")

    def _run(self, row: Subscription) -> StepRun:
        return StepRun(row.flow, self._run_id, row.step, tenant=row.tenant)


def _name(row: Subscription) -> str:
    return f"{row.flow} {row.step}" + (f" (tenant {row.tenant})" if row.tenant else "")
