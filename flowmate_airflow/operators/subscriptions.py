"""The operator that registers flows' addresses with other systems, and takes them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowNotFoundException,
    AirflowRuntimeError,
    AirflowTaskTimeout,
)
from airflow.sdk.execution_time.timeout import timeout
from airflow.sdk.log import mask_secret
from jinja2 import StrictUndefined

from flowmate_airflow.auth.asking import ask
from flowmate_airflow.auth.credentials import Account, account_of, missing_connection
from flowmate_airflow.auth.leaving import is_leaving
from flowmate_airflow.auth.origins import is_application
from flowmate_airflow.build.loader import check_files
from flowmate_airflow.build.subscribing import Asked, Subscriber, subscriber_of, wanted_of
from flowmate_airflow.build.system import CONF_FLOW, CONF_FORCE
from flowmate_airflow.build.tenants import dispatcher_id
from flowmate_airflow.catalog.catalog import Catalog, configured_catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.folder import find_yaml_files
from flowmate_airflow.flows.load import read_bounded
from flowmate_airflow.flows.models import UseStep
from flowmate_airflow.flows.tenantchecks import linked_connectors
from flowmate_airflow.operators.connector import RENDER_SECONDS, ConnectorOperator
from flowmate_airflow.operators.step import airflow_failures
from flowmate_airflow.runtimes.base import Running
from flowmate_airflow.settings import ignore_syntax
from flowmate_airflow.steps.calls import StepRun
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.parting import is_linked, part
from flowmate_airflow.steps.registrar import Registrar, Surroundings
from flowmate_airflow.steps.runtimes import runtime_name
from flowmate_airflow.steps.session import Place
from flowmate_airflow.steps.subscribing import synchronise
from flowmate_airflow.steps.templates import render
from flowmate_airflow.steps.tenantplan import plan
from flowmate_airflow.store.endpoints import token_of
from flowmate_airflow.store.linked import find as find_link
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.store.tenants import tenants_of
from flowmate_airflow.webhooks.directory import link_secrets_in, secrets_in

KNOWN = ("conn", "var")
"""What templates of a `with` may name when an address is registered, beside `params`: there is no run of the flow."""


class SyncSubscriptionsOperator(BaseOperator):
    """Register the addresses of all flows that are switched on and whose trigger subscribes; take back the others.

    :param folder: the flows' folder
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8f5e9"

    def __init__(self, *, folder: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self._running: list[Running] = []
        self._killed = False

    def execute(self, context: Any) -> dict[str, Any]:
        """Do it, and return what was done and what failed."""
        conf = getattr(context.get("dag_run"), "conf", None) or {}
        with airflow_failures(None):
            flows = _Flows(self.folder, context["ti"])
            store, environment = open_store(), self.get_template_env().overlay(undefined=StrictUndefined)
            known = {name: context[name] for name in KNOWN if name in context}
            asked = Asked(
                lambda step, params, names: _rendered(step, {**known, "params": params, **names}, environment),
                cache(_secrets),  # tenants have it together
                lambda endpoint, tenant: token_of(store, endpoint, tenant),
                lambda tenant, connector: find_link(store, tenant, connector),
                _link_secret,
            )
            only = conf.get(CONF_FLOW) if isinstance(conf.get(CONF_FLOW), str) else None
            wanted = [
                wanted_of(each, asked, tenant)
                for each in flows.subscribers
                if only in (None, each.flow_id) and flows.is_on(each)
                for tenant in _tenants(store, each, flows.catalog)
            ]
            report = synchronise(
                store,
                Registrar(self._surroundings(flows.catalog)),
                wanted,
                run_id=context["ti"].run_id,
                log=self._log_line,
                is_over=lambda row: flows.is_off(row.flow) or not is_linked(store, row),
                only=only,
                force=conf.get(CONF_FORCE) is True,
            )
            part(store, self._has_left)
        return asdict(report)

    def on_kill(self) -> None:
        """End the component that runs."""
        self._killed = True
        for running in list(self._running):
            running.stop()

    def _has_left(self, conn_id: str) -> bool:
        """Ask for the Connection of a link that may be over, so that it goes if it can."""
        try:
            return not is_leaving(account_of(BaseHook.get_connection(conn_id)).extra)
        except AirflowNotFoundException:
            return True
        except AirflowRuntimeError as error:
            self.log.warning("The Connection %s is asked for again later: %s", conn_id, type(error).__name__)
            return False

    def _surroundings(self, catalog: Catalog) -> Surroundings:
        return Surroundings(
            manifest=lambda name: _manifest(catalog, name),
            account=lambda conn_id, step, use: _account(catalog, conn_id, step, use),
            place=self._place,
            log=self._log_line,
            hide=_hide,
            on_start=self._started,
        )

    def _place(self, manifest: Manifest, run: StepRun) -> Place:
        if self._killed:
            raise AirflowException("the task was ended")
        name = runtime_name()
        # An operator of no DAG: it knows how containers are started here.
        some = next(iter({**manifest.triggers, **manifest.actions}))
        operator = ConnectorOperator(task_id=run.step, use=f"{manifest.name}/{some}", manifest=manifest)
        labels = {"flowmate.flow": run.flow, "flowmate.run": run.run_id, "flowmate.step": run.step}
        return Place(operator.make_runtime(name), name, labels)

    def _started(self, running: Running) -> None:
        self._running = [running]
        if self._killed:
            running.stop()

    def _log_line(self, level: int, text: str) -> None:
        self.log.log(level, "%s", text)


class _Flows:
    """The flows of a folder as they are now, and which of them Airflow has switched on.

    :param task_instance: of the task that asks
    """

    def __init__(self, folder: Path, task_instance: Any) -> None:
        self._ask = task_instance.get_dag
        self._own_id: str = task_instance.dag_id
        self.catalog = configured_catalog()
        files = find_yaml_files(folder, syntax=ignore_syntax())
        flows, errors = check_files(files, self.catalog, folder)
        self._broken = [_content(folder / name) for name in errors]
        found = (subscriber_of(loaded, self.catalog) for loaded in flows)
        self.subscribers: list[Subscriber] = [each for each in found if each is not None]
        self._there = {loaded.flow_id for loaded in flows}

    def is_on(self, subscriber: Subscriber) -> bool:
        """Whether Airflow has a flow and starts runs of it."""
        flow = subscriber.flow_id
        dags = [flow, *([dispatcher_id(flow)] if subscriber.endpoint.tenants else [])]
        return all(dag is not None and not dag.is_paused for dag in map(self._dag, dags))

    def is_off(self, flow: str) -> bool:
        """Whether it is sure that a flow wants no subscription: it may be broken, or be one of another DAG bundle."""
        if flow in self._there:
            return True
        if any(flow.encode() in content for content in self._broken):
            return False
        dag = self._dag(flow)
        return dag is None or dag.is_paused or dag.bundle_name == self._own_bundle

    @cached_property
    def _own_bundle(self) -> str | None:
        dag = self._dag(self._own_id)
        return None if dag is None else dag.bundle_name

    def _dag(self, flow: str) -> Any:
        """Return what Airflow knows of a DAG, None when it has none of that id."""
        try:
            return self._ask(flow)
        except AirflowRuntimeError as error:
            detail = error.error.detail
            if isinstance(detail, Mapping) and detail.get("status_code") == HTTPStatus.NOT_FOUND:
                return None
            raise


def _tenants(store: Store, subscriber: Subscriber, catalog: Catalog) -> list[str]:
    """Return for whom a flow's address is registered; a single empty text where it has no tenants."""
    flow = subscriber.loaded.flow
    if flow.tenancy is None:
        return [""]
    who = flow.tenancy.who if isinstance(flow.tenancy.who, list) else None
    found = plan(store, linked_connectors(flow, catalog), who, tenants_of(store, subscriber.flow_id))
    # What is registered for those who have to log in again stays: they will.
    return [*found.start, *found.failed]


def _content(path: Path) -> bytes:
    try:
        return read_bounded(path)
    except OSError:
        return b""


def _manifest(catalog: Catalog, name: str) -> Manifest | None:
    found = catalog.get(name)
    return found if isinstance(found, Manifest) else None


def _rendered(step: UseStep, names: Mapping[str, Any], environment: Any) -> dict[str, Any]:
    try:
        with timeout(RENDER_SECONDS, "rendering `with` takes too long"):  # type: ignore[no-untyped-call]
            config: dict[str, Any] = render(step.with_, names, environment)
    except AirflowTaskTimeout:
        raise ConfigFailure(f"rendering `with` took more than {RENDER_SECONDS} seconds") from None
    except ConfigFailure as error:
        known = "params, conn, var and tenant" if "tenant" in names else "params, conn and var"
        raise ConfigFailure(f"{error}; when an address is registered only {known} are known") from None
    return config


def _account(catalog: Catalog, conn_id: str, step: str, use: str) -> Account:
    try:
        return ask(BaseHook.get_connection, conn_id, step, manifest=_manifest(catalog, use.partition("/")[0]))
    except AirflowNotFoundException:
        raise missing_connection(conn_id, step, use) from None


def _secrets(conn_id: str) -> Sequence[str]:
    """Return the secrets of a webhook's Connection, as the receiver knows them.

    Those of an application no task may have; the other system has them.
    """
    if is_application(conn_id):
        return ()
    try:
        account = account_of(BaseHook.get_connection(conn_id))
    except AirflowNotFoundException:
        raise ConfigFailure(f"the webhook's Connection `{conn_id}` does not exist") from None
    found = secrets_in(account.login, account.password, account.extra)
    if not found:
        raise ConfigFailure(f"the webhook's Connection `{conn_id}` has no password, which is the secret")
    return found


def _link_secret(conn_id: str) -> str | None:
    """Return the webhook secret that a link holds, the first where there are several."""
    try:
        account = ask(BaseHook.get_connection, conn_id, "webhook")
    except AirflowNotFoundException:
        raise ConfigFailure(f"the Connection `{conn_id}` of a link does not exist") from None
    return next(iter(link_secrets_in(account.extra)), None)


def _hide(secrets: Iterable[str]) -> None:
    for secret in secrets:
        mask_secret(secret)
