"""The operators of flows with tenants: the first task of a tenant's run, and the one that starts the runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any, Literal, NoReturn, TypeAlias

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from flowmate_airflow.flows.tenantmodels import GATE, ONLY
from flowmate_airflow.operators.runs import Runs
from flowmate_airflow.operators.step import airflow_failures
from flowmate_airflow.operators.tenancy import checked_tenant, conf_of, job_of
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.jobbody import JobBody
from flowmate_airflow.steps.links import DATE_NAMES, DATES, dates_in, unready
from flowmate_airflow.steps.tenantplan import OFF, Plan, named, plan
from flowmate_airflow.steps.tenantschedules import Clock
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.store.tenants import find_flow, give_turn, take_turn, tenants_of, turns_of
from flowmate_airflow.store.waiting import tenants_waiting
from flowmate_airflow.triggers.runs import RunsOverTrigger

Active: TypeAlias = Literal["queue", "skip"]

NEXT = "~next"
"""What follows a flow's id where it is noted which run waits for a tenant's turn: no flow's id has this character."""
MAX_REASON = 300
"""Characters of a reason in what the task returns."""
MAX_LOGGED = 100


class TenantOperator(BaseOperator):
    """Let a run go on that is for a tenant who has linked all that the flow links, when it is the tenant's turn.

    A tenant has one active run of a flow at a time.

    :param connectors: that the flow links
    :param who: the tenants for whom the flow runs; None: all that have linked the connectors
    :param active: when a run of the tenant is active still: `queue` behind it, or `skip` this one
    """

    template_fields: Sequence[str] = ()
    ui_color = "#f3e5f5"

    def __init__(
        self, *, connectors: Sequence[str], who: Sequence[str] | None = None, active: Active = "queue", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.connectors = list(connectors)
        self.who = None if who is None else list(who)
        self.active = active

    def execute(self, context: Any) -> None:
        """Check the run's conf and the tenant's links, and take the tenant's turn, or wait for it."""
        with airflow_failures(None):
            tenant, job = checked_tenant(context), job_of(context)
            dates_in(conf_of(context))
            if job.ignored:
                self.log.info("These keys of the run's conf mean nothing here: %s", ", ".join(job.ignored))
            store = open_store()
            self._check(store, tenant, context["ti"].dag_id)
            holder = None if job.ignores_turn else self._take(store, tenant, context)
        if holder is not None:
            self._wait(tenant, holder, job, context)

    def resume(self, context: Any, event: dict[str, Any]) -> None:
        """Go on when the run before is over."""
        self.execute(context)

    def _check(self, store: Store, tenant: str, flow: str) -> None:
        if self.who is not None and tenant not in self.who:
            raise ConfigFailure(f"the flow does not run for the tenant `{tenant}`, it runs for {named(self.who)}")
        if not find_flow(store, tenant, flow).is_on:
            raise ConfigFailure(f"{OFF} `{tenant}`")
        missing = unready(store, [tenant], self.connectors)
        for reasons in (missing.unlinked, missing.refused):
            if tenant in reasons:
                raise ConfigFailure(reasons[tenant])

    def _take(self, store: Store, tenant: str, context: Any) -> str | None:
        """Take the turn; return the run that has it."""
        flow, run_id = context["ti"].dag_id, context["ti"].run_id
        holder = take_turn(store, tenant, flow, run_id, Runs(flow, context["ti"]).is_over)
        if holder is None:
            give_turn(store, tenant, f"{flow}{NEXT}", run_id)
        return holder

    def _wait(self, tenant: str, holder: str, job: JobBody, context: Any) -> NoReturn:
        queues = self.active == "queue" if job.queues is None else job.queues
        if not queues:
            reason = f"a run of the tenant `{tenant}` is active still: {holder}"
            self.log.info("%s", reason)  # Airflow's own line in the log does not tell it
            raise AirflowSkipException(reason)
        flow, run_id = context["ti"].dag_id, context["ti"].run_id
        with airflow_failures(None):
            # So that no more runs are started that would only wait: each takes the place of another tenant's.
            take_turn(open_store(), tenant, f"{flow}{NEXT}", run_id, Runs(flow, context["ti"]).is_over)
        self.log.info("It waits for the end of the run %s of the tenant %s", holder, tenant)
        self.defer(trigger=RunsOverTrigger(dag_id=flow, run_ids=[holder]), method_name="resume")


class RunTenantsOperator(BaseOperator):
    """Start a run of a flow for each tenant, wait until all are over, and name those that failed.

    It returns the tenants for whom a run was `started`, how many of these have `succeeded`, and by tenant why others
    `failed`, were `skipped`, or are `unlinked`.

    :param flow: the flow's id
    :param connectors: that the flow links
    :param who: the tenants; None: all that have linked the connectors
    :param active: what the flow does when a run of the tenant is active still
    :param own_schedules: tenants may have schedules of their own. Then this runs every minute, starts runs for those
        who are due, and does not wait for them
    :param schedule: the flow's own, for tenants who have none
    :param zone: the time zone of schedules
    :param webhook: the endpoint whose events start runs. Then these are started for tenants for whom some wait, and not
        waited for
    :param debounce: seconds that it must have been quiet at a tenant's address
    """

    template_fields: Sequence[str] = ()
    ui_color = "#f3e5f5"

    def __init__(
        self,
        *,
        flow: str,
        connectors: Sequence[str],
        who: Sequence[str] | None = None,
        active: Active = "queue",
        own_schedules: bool = False,
        schedule: str | None = None,
        zone: str = "UTC",
        webhook: str | None = None,
        debounce: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.flow = flow
        self.connectors = list(connectors)
        self.who = None if who is None else list(who)
        self.active = active
        self.own_schedules = own_schedules
        self.schedule = schedule
        self.zone = zone
        self.webhook = webhook
        self.debounce = debounce

    def execute(self, context: Any) -> dict[str, Any]:
        """Start the runs, and wait for their end where tenants have no schedules of their own."""
        with airflow_failures(None):
            task_instance = context["ti"]
            if task_instance.get_dag(self.flow).is_paused:
                reason = f"the flow `{self.flow}` is paused, so that no tenant's run is started"
                self.log.info("%s", reason)  # Airflow's own line in the log does not tell it
                raise AirflowSkipException(reason)
            is_timed = self._is_timed(context)
            store, runs = open_store(), Runs(self.flow, task_instance)
            said = tenants_of(store, self.flow)
            found = plan(store, self.connectors, self.who, said)
            only = _only_tenants(context)
            if only is not None:
                found.only(only)
            if self.webhook is not None:
                self._only_waiting(found, tenants_waiting(store, self.webhook, debounce=self.debounce))
            own = {}
            if is_timed:
                clock = Clock(store, self.flow, self.schedule, self.zone, said, datetime.now(timezone.utc))
                due = clock.due([*found.start, *found.failed])
                found.only({*due.since, *due.failed})
                found.fail(due.failed)
                own = due.since
            moment = _moment(context)
            run_ids = {name: run_id(name, own.get(name, moment)) for name in found.start}
            self._leave_out(store, runs, found, run_ids, context)
            self._start(runs, found, run_ids, own, context)
            if is_timed:
                clock.started(due.since)
        if not found.start or self._only_starts(context):
            return self._end(found, len(found.start), context)
        self.log.info("%d runs are started", len(found.start))
        self.defer(
            trigger=RunsOverTrigger(dag_id=self.flow, run_ids=[run_ids[name] for name in found.start]),
            method_name="resume",
            kwargs={"so_far": asdict(found), "run_ids": run_ids},
        )

    def resume(
        self, context: Any, event: dict[str, Any], so_far: dict[str, Any], run_ids: dict[str, str]
    ) -> dict[str, Any]:
        """Look what became of the runs."""
        found = Plan(**so_far)
        runs = Runs(self.flow, context["ti"])
        own = {name: run_ids[name] for name in found.start}
        succeeded = runs.succeeded(own.values())
        gates = runs.task_states(succeeded, [GATE])
        for name, of_tenant in own.items():
            if gates.get(of_tenant, {}).get(GATE) == "skipped":
                found.skipped[name] = "a run of theirs was active still"
        bad = {name: of_tenant for name, of_tenant in own.items() if of_tenant not in succeeded}
        states = runs.task_states(bad.values())
        failed = runs.failed(bad.values())
        for name, of_tenant in bad.items():
            is_there = of_tenant in failed
            reason = runs.error(of_tenant, states.get(of_tenant, {})) if is_there else "the run was deleted"
            found.failed[name] = reason[:MAX_REASON]
        good = sum(name not in found.failed and name not in found.skipped for name in own)
        return self._end(found, good, context)

    def _only_waiting(self, found: Plan, waiting: Collection[str]) -> None:
        """Start runs only for tenants for whom events wait; those of others stay until it runs for them."""
        found.only(waiting)
        others = set(waiting).difference(found.start, found.skipped, found.unlinked, found.failed)
        found.unlinked.update(dict.fromkeys(others, "events wait for them, and the flow does not run for them"))

    def _leave_out(self, store: Store, runs: Runs, found: Plan, run_ids: Mapping[str, str], context: Any) -> None:
        """Start none for tenants whose run would be skipped, or would only be one more that waits."""
        flow, why = self.flow, "a run of theirs is active still"
        if self.active == "queue":
            if self.webhook is None and _run_type(context) != "scheduled":
                return  # somebody wants it, perhaps with another conf than the one that waits
            flow, why = f"{self.flow}{NEXT}", "a run of theirs waits for its turn already"
        turns = turns_of(store, flow)
        others = {name: turns[name] for name in found.start if name in turns and turns[name] != run_ids[name]}
        active = runs.active(others.values())
        found.skip({name: f"{why}: {holder}" for name, holder in others.items() if holder in active})

    def _start(
        self, runs: Runs, found: Plan, run_ids: Mapping[str, str], own: Mapping[str, datetime], context: Any
    ) -> None:
        conf = {key: value for key, value in conf_of(context).items() if key not in (GATE, DATES, ONLY)}
        refused = {}
        for name in found.start:
            dates = _dates(context, own.get(name))
            reason = runs.start(run_ids[name], {**conf, GATE: name, DATES: dates})
            if reason is not None:
                refused[name] = reason[:MAX_REASON]
        found.fail(refused)

    def _end(self, found: Plan, good: int, context: Any) -> dict[str, Any]:
        """Tell what became of all, and fail when one has."""
        for reasons, word in ((found.skipped, "left out"), (found.unlinked, "left out"), (found.failed, "failed")):
            for name in sorted(reasons)[:MAX_LOGGED]:
                self.log.info("%s: %s: %s", name, word, reasons[name])
        result = {
            "started": found.start,
            "succeeded": good,
            "failed": found.failed,
            "skipped": found.skipped,
            "unlinked": found.unlinked,
        }
        all_of_them = len({*found.start, *found.failed})
        text = f"{good:,} of {all_of_them:,} tenants {'started' if self._only_starts(context) else 'done'}"
        if found.failed:
            context["ti"].xcom_push(key="return_value", value=result)
            raise AirflowFailException(f"{text}; failed: {named(found.failed)}")
        self.log.info("%s", text)
        return result

    def _is_timed(self, context: Any) -> bool:
        """Whether it starts runs for those tenants who are due, and does not wait for them."""
        return self.own_schedules and _run_type(context) == "scheduled"

    def _only_starts(self, context: Any) -> bool:
        """Whether it does not wait for the runs: what comes for others meanwhile would wait, too."""
        return self.webhook is not None or self._is_timed(context)


def _only_tenants(context: Any) -> list[str] | None:
    """Return the tenants that the run is for only; None: all.

    :raises ConfigFailure: its conf says it in a form that is none
    """
    asked = conf_of(context).get(ONLY)
    if asked is not None and not (isinstance(asked, list) and asked and all(isinstance(name, str) for name in asked)):
        raise ConfigFailure(f"`{ONLY}` in the run's conf is a list of tenants")
    return asked


def run_id(tenant: str, moment: datetime) -> str:
    """Return the id of the run of a tenant for a moment: the same at every try, so that none is started twice."""
    # Airflow takes no @ in it, and no tenant's id has a ~.
    return f"{GATE}__{tenant.replace('@', '~')}__{moment.astimezone(timezone.utc).isoformat()}"


def _moment(context: Any) -> datetime:
    run = context["dag_run"]
    moment: datetime = run.logical_date or run.run_after
    return moment


def _dates(context: Any, due: datetime | None) -> dict[str, str]:
    """Return the times that templates of a tenant's run may name.

    :param due: since when it is due by a schedule of the tenant's own
    """
    run = context["dag_run"]
    if due is not None:
        return dict.fromkeys(DATE_NAMES, due.astimezone(timezone.utc).isoformat())
    moment = _moment(context)
    values = (moment, run.data_interval_start or moment, run.data_interval_end or moment)
    return {name: value.astimezone(timezone.utc).isoformat() for name, value in zip(DATE_NAMES, values, strict=True)}


def _run_type(context: Any) -> str:
    kind = context["dag_run"].run_type
    return str(getattr(kind, "value", kind))
