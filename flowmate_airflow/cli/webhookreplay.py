"""`flowmate webhooks replay`: deliveries are received again, so that their flow deals with them once more."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace

from flowmate_airflow.cli.asking import confirm
from flowmate_airflow.cli.endpoints import known_endpoints
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.cli.webhooks import check_known, moment_of, tell_counts
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.steps.steplog import clean
from flowmate_airflow.store import deliveries, moves
from flowmate_airflow.store.deliveries import CLAIMED, DELIVERED, FAILED, RECEIVED, REJECTED, Delivery, Wanted
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.webhooks.endpoints import NAME

MAX_IDS = 1000
_GONE = "gone"
_OVER = ("success", "failed", _GONE)


def replay(arguments: Namespace) -> int:
    """Let deliveries be received again, at another endpoint where one is named."""
    _check_usage(arguments)
    store = open_store()
    check_known(deliveries.counts(store), arguments.endpoint, arguments.tenant)
    wanted = Wanted(
        endpoint=arguments.endpoint,
        tenant=arguments.tenant,
        ids=arguments.id,
        since=moment_of(arguments.since, "--since"),
        until=moment_of(arguments.until, "--until"),
    )
    if arguments.id:
        _check_ids(store, wanted, arguments)
    statuses = _statuses(arguments)
    found = moves.count_kept(store, wanted, statuses)
    total = sum(found.values())
    if not total:
        raise CommandError(_nothing(store, wanted, arguments))
    if arguments.to is not None:
        without = sum(moves.count_kept(store, replace(wanted, tenant=""), statuses).values())
        _check_endpoint(arguments, with_tenant=0 if arguments.tenant == "" else total - without, without=without)
    if total > 1:
        where = f" at {arguments.to}" if arguments.to else ""
        confirm(f"Replay {_deliveries(total)} ({tell_counts(found)}){where}?", yes=arguments.yes)
    done = sum(_again(store, replace(wanted, status=status), arguments.to) for status in statuses)
    told = "waits" if done == 1 else "wait"
    print(f"{_deliveries(done)} {told} for a run{f' of {arguments.to}' if arguments.to else ''}")
    return 0


def _check_usage(arguments: Namespace) -> None:
    if not any((arguments.endpoint, arguments.id, arguments.tenant, arguments.since, arguments.until)):
        raise UsageError("say which deliveries: ENDPOINT, --id, --tenant, --since or --until")
    if arguments.id and len(set(arguments.id)) > MAX_IDS:
        raise UsageError(f"--id: at most {MAX_IDS:,} at once")
    if arguments.to is not None and not re.fullmatch(NAME, arguments.to):
        raise UsageError(f"--to: `{clean(arguments.to, 100)}` cannot be an endpoint's name")
    if arguments.to is not None and arguments.to == arguments.endpoint:
        raise UsageError(f"--to: they are at {arguments.to} already; leave it out")


def _statuses(arguments: Namespace) -> tuple[str, ...]:
    """Return which deliveries are replayed. What waits is only to be moved."""
    waits = (RECEIVED,) if arguments.to is not None else ()
    finished = (FAILED,) if arguments.failed else (DELIVERED, FAILED)
    # By number they were checked; else their runs would have to be looked at one by one.
    claimed = (CLAIMED,) if arguments.force or (arguments.id and not arguments.failed) else ()
    return (*waits, *finished, *claimed)


def _again(store: Store, wanted: Wanted, to: str | None) -> int:
    return deliveries.replay(store, wanted) if to is None else moves.move(store, wanted, to)


def _check_ids(store: Store, wanted: Wanted, arguments: Namespace) -> None:
    """Check that deliveries that were named can be replayed.

    :raises UsageError: there is no such delivery
    :raises CommandError: it cannot be received again, or a run has it
    """
    found = {delivery.id: delivery for delivery in deliveries.find(store, wanted)}
    missing = [str(number) for number in sorted(set(arguments.id)) if number not in found]
    if missing:
        where = f" to {arguments.endpoint}" if arguments.endpoint else ""
        raise UsageError(f"there is no delivery {', '.join(missing)}{where}")
    for delivery in found.values():
        if delivery.status == REJECTED:
            raise CommandError(f"the delivery {delivery.id} was rejected: nothing of it was kept")
        if delivery.is_purged:
            raise CommandError(f"the payload of the delivery {delivery.id} is no longer kept")
    if not arguments.force and not arguments.failed:
        _check_runs(found.values())


def _check_runs(found: Iterable[Delivery]) -> None:
    """Check that the runs that have deliveries are over: they would go on with what another run gets, too."""
    claimed = [delivery for delivery in found if delivery.status == CLAIMED]
    for flow, run_id in dict.fromkeys((each.claim_flow or "", each.claim_run or "") for each in claimed):
        state = run_state(flow, run_id)
        if state not in _OVER:
            number = next(each.id for each in claimed if (each.claim_flow, each.claim_run) == (flow, run_id))
            raise CommandError(
                f"the delivery {number} is being dealt with by the run {clean(run_id)} of {clean(flow)} ({state}); "
                "--force takes it away from there"
            )


def run_state(flow: str, run_id: str) -> str:
    """Return the state of a run as Airflow calls it, or `gone`.

    :raises CommandError: Airflow cannot be asked
    """
    try:
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            state = session.scalar(select(DagRun.state).where(DagRun.dag_id == flow, DagRun.run_id == run_id))
    except Exception as error:  # a database has errors of its own, whose texts may hold its password
        raise CommandError(
            f"Airflow could not be asked whether the run {clean(run_id)} of {clean(flow)} is over "
            f"({type(error).__name__}); --force replays what it has without asking"
        ) from None
    return _GONE if state is None else str(state)


def _nothing(store: Store, wanted: Wanted, arguments: Namespace) -> str:
    others = moves.count_kept(store, wanted, (RECEIVED, CLAIMED, DELIVERED, FAILED))
    told = f"; there are {tell_counts(others)}" if others else ""
    return f"nothing {'failed that' if arguments.failed else 'is there that'} could be replayed{told}"


def _check_endpoint(arguments: Namespace, *, with_tenant: int, without: int) -> None:
    """Check that somebody takes what is moved.

    :param with_tenant: how many of them came to the address of a tenant
    :param without: how many did not
    """
    if arguments.force:
        return
    known = known_endpoints()
    if arguments.to not in known:
        hint = did_you_mean(arguments.to, known) or "--force moves them nevertheless"
        raise UsageError(f"--to: Airflow knows no webhook `{arguments.to}`; {hint}")
    if known[arguments.to].tenants and without:
        raise UsageError(f"--to: at {arguments.to} each tenant has their own, and {_deliveries(without)} of no tenant")
    if not known[arguments.to].tenants and with_tenant:
        raise UsageError(f"--to: {arguments.to} knows no tenants, whose {_deliveries(with_tenant)} would stay there")


def _deliveries(number: int) -> str:
    return "1 delivery" if number == 1 else f"{number:,} deliveries"
