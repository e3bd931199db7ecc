"""The operator of a connector step."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, get_args

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException, AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout
from airflow.sdk.log import mask_secret

from flowmate_airflow.auth.asking import ask
from flowmate_airflow.auth.credentials import Account, missing_connection, secrets_of, texts_in
from flowmate_airflow.batches.batch import BatchValue, BatchWriter
from flowmate_airflow.catalog.catalog import configured_catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.fieldmaps import FieldMap, check_field_map
from flowmate_airflow.operators.replay import ReplayMemory, replay_of, tenant_of
from flowmate_airflow.operators.reply import answer_caller
from flowmate_airflow.operators.runtime import container_runtime
from flowmate_airflow.operators.step import (
    airflow_failures,
    batch_writer,
    empty_in_replay,
    message_id_prefix,
    step_input,
)
from flowmate_airflow.operators.tenancy import job_of, template_names
from flowmate_airflow.protocols.streams import Load, SyncMode
from flowmate_airflow.runtimes.base import Running, Runtime
from flowmate_airflow.steps.calls import StepCall, StepRun, Window, function_name
from flowmate_airflow.steps.connector import OnError
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.inputs import NOTHING, Input, input_of
from flowmate_airflow.steps.jobbody import JobBody
from flowmate_airflow.steps.links import Link, link_of
from flowmate_airflow.steps.listener import Listener
from flowmate_airflow.steps.memory import Memory, StoreMemory
from flowmate_airflow.steps.reading import Reading
from flowmate_airflow.steps.runtimes import RuntimeName, process_runtime, runtime_name
from flowmate_airflow.steps.session import Place, Session
from flowmate_airflow.steps.templates import render
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import open_store

RENDER_SECONDS = 60
"""How long templates may take: `execution_timeout` counts from `execute` only, and a template may loop."""

REFUSED = {
    "auto_remove": "a connector's container is always removed",
    "command": "a connector is started by its protocol",
    "host_tmp_dir": "files go through `[flowmate] files_folder` or `mounts`",
    "log_opts_max_file": "a connector's log goes to the task log only",
    "log_opts_max_size": "a connector's log goes to the task log only",
    "mount_tmp_dir": "files go through `[flowmate] files_folder` or `mounts`",
    "retrieve_output": "a connector's output is its messages",
    "retrieve_output_path": "a connector's output is its messages",
    "tmp_dir": "files go through `[flowmate] files_folder` or `mounts`",
    "tty": "a connector talks over its standard streams",
    "xcom_all": "a connector's output is its messages",
}
"""Parameters of DockerOperator that contradict what a connector step is: refused, for they would do nothing."""


class ConnectorOperator(DockerOperator):
    """Run a function of a connector in a container, over the messages of the steps before it.

    Takes every parameter of DockerOperator but those of :data:`REFUSED`; the image, the command and the limits come
    from the connector's manifest unless they are given.

    :param use: connector and function, such as `http/get`
    :param config: the function's fields (templated; a text that is one expression keeps its type)
    :param connection: the conn_id of the Connection with the credentials
    :param linked: use the link of the run's tenant (conf `tenant`) to the connector, instead of a `connection`
    :param inputs: the task ids whose messages it gets, in this order; none for a trigger
    :param when: JSONata; messages for which it is not true are left out
    :param on_error: when one message fails: `fail` the task, `skip` the message, or keep it as a `dead_letter`
    :param select: which tables and fields a source reads
    :param sync: whether a source reads only what is new (`incremental`), or all (`full`)
    :param cursors: the field that tells what is new, by stream
    :param load: how a target stores records
    :param external_id: JSONata that gives a message's own id; ids of the other system are kept with it
    :param settles_letters: whether a dead letter that is replayed is done when this task succeeds; else a
        CommitStateOperator after all that get the messages says so
    :param part: the batch it gets, instead of those of `inputs`: for tasks that are mapped over batches
    :param manifest: the connector; default: the catalog's of that name
    :param source: the step's YAML, to be shown
    """

    template_fields: Sequence[str] = (*DockerOperator.template_fields, "config", "connection", "connector", "source")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DockerOperator.template_fields_renderers,
        "config": "json",
        "connector": "yaml",
        "source": "yaml",
    }
    ui_color = "#fff0e0"

    def __init__(
        self,
        *,
        use: str,
        config: Mapping[str, Any] | None = None,
        connection: str | None = None,
        linked: bool = False,
        inputs: Sequence[str] = (),
        when: str | None = None,
        on_error: OnError = "fail",
        select: FieldMap | None = None,
        sync: SyncMode = "incremental",
        cursors: Mapping[str, str] | None = None,
        load: Load | None = None,
        external_id: str | None = None,
        settles_letters: bool = True,
        part: Mapping[str, Any] | None = None,
        manifest: Manifest | None = None,
        source: str = "",
        **kwargs: Any,
    ) -> None:
        for name in REFUSED.keys() & kwargs.keys():
            raise ValueError(f"`{name}` cannot be set: {REFUSED[name]}")
        if isinstance(inputs, str):
            raise ValueError(f"`inputs` is a list of task ids, not a text: write [{inputs!r}]")
        if not isinstance(config, Mapping | None):
            raise ValueError(f"`config` has the function's fields by name, so it cannot be a {type(config).__name__}")
        if on_error not in get_args(OnError):
            raise ValueError(f"`on_error` is {on_error!r}; it can be 'fail', 'skip' or 'dead_letter'")
        if linked and connection is not None:
            raise ValueError("a step has a `connection`, or is `linked` to that of the run's tenant: not both")
        self.use = use
        self.manifest = manifest or _find_manifest(use)
        if self.manifest.function(self.function) is None:
            raise ValueError(f"the connector `{self.manifest.name}` has no function `{self.function}`")
        # What is not given comes from the manifest, which cpus' default of 1.0 would hide.
        self.container_overrides = frozenset(kwargs)
        super().__init__(image=kwargs.pop("image", self.manifest.image), auto_remove="force", **kwargs)
        self.config = dict(config or {})
        self.connection = connection
        self.linked = linked
        self.inputs = list(inputs)
        self.when = when
        self.on_error = on_error
        self.reading = Reading(None if select is None else check_field_map(select), sync, dict(cursors or {}))
        self.load = load or Load()
        self.external_id = external_id
        self.settles_letters = settles_letters
        self.part = part
        self.connector = _described(self.manifest, self.function)
        self.source = source
        self._running: list[Running] = []
        self._killed = False
        self._render_failure: StepError | None = None

    @property
    def function(self) -> str:
        """The function's name."""
        return function_name(self.use)

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render DockerOperator's own fields as ever, and `config` by leaf; the YAML is shown as it is."""
        environment = jinja_env or self.get_template_env()
        self._do_render_template_fields(self, DockerOperator.template_fields, context, environment, set())
        try:
            with timeout(RENDER_SECONDS, "rendering `with` takes too long"):  # type: ignore[no-untyped-call]
                self.config = render(self.config, template_names(context), environment)
        except ConfigFailure as error:
            self._render_failure = error  # raised in `execute`, where it fails the task without a retry
        except StoreError as error:  # what is known of a tenant is in the store
            self._render_failure = (TransientFailure if error.transient else ConfigFailure)(str(error))
        except AirflowTaskTimeout:
            self._render_failure = ConfigFailure(f"rendering `with` took more than {RENDER_SECONDS} seconds")

    def execute(self, context: Any) -> BatchValue:  # type: ignore[override]
        """Run the component over the batch and return the value of the new one."""
        writer = batch_writer(context)
        with airflow_failures(writer):
            empty = self._nothing(context)
            if empty is not None:
                return empty
            try:
                return self._run(context, self._input(context), writer)
            except StepError as error:
                if error.exit_code is not None and error.exit_code in self.skip_on_exit_code:
                    raise AirflowSkipException(str(error)) from None
                raise

    def on_kill(self) -> None:
        """End the container; :meth:`execute` then removes it and fails."""
        self._killed = True
        for running in list(self._running):
            running.stop()

    def session(self, context: Any, *, step: str | None = None, memory: Memory | None = None) -> Session:
        """Return this try of the step, with its component ready to start.

        :param step: the step's id, when it is another one than the task's
        :param memory: what the step remembers; default: the store's
        :raises ConfigFailure: its fields, its Connection or its connector do not fit
        :raises TransientFailure: there is no engine just now
        """
        if self._render_failure is not None:
            raise type(self._render_failure)(f"step `{self.task_id}`: {self._render_failure}")
        run = _step_run(context, step or context["ti"].task_id)
        job = job_of(context)
        link = link_of(open_store(), run.tenant, self.manifest.name, run.step) if self.linked else None
        conn_id = self.connection if link is None else link.conn_id
        account = None if conn_id is None else self._account(conn_id)
        call = StepCall(
            self.manifest,
            self.use,
            run,
            self._config_for(job),
            account=account,
            window=_window(context, job, reads=self.manifest.keeps_state(self.function) and not self._takes_messages),
            load=self.load,
            # What a replay cannot do for the second time stays the letter that it was.
            on_error="dead_letter" if isinstance(memory, ReplayMemory) and self.on_error == "skip" else self.on_error,
            id_prefix=message_id_prefix(context),
        )
        name = runtime_name()
        place = Place(self.make_runtime(name), name, self._task_labels(context, run), self.image)
        self.log.info("Running %s %s (%s)", self.use, self.manifest.version, self.image)
        return Session(
            call,
            place,
            memory or StoreMemory(run, context["ti"].map_index),
            self._log_line,
            reading=self.reading if self._takes_messages else self._reading_for(job, link),
            external_id=self.external_id,
            listener=Listener(
                start=self._started,
                credentials=lambda changed: _mask(texts_in(changed, rare=False)),
                reply=lambda reply: answer_caller(context, reply),
            ),
            renew=None if conn_id is None else lambda refused: self._account(str(conn_id), refused),
        )

    def make_runtime(self, name: RuntimeName) -> Runtime:
        """Return where the connector runs.

        :raises TransientFailure: there is no engine just now
        """
        log = logging.getLogger("airflow.task")
        if name == "process":
            return process_runtime(log)
        try:
            client = self.cli
        except Exception as error:
            raise TransientFailure(
                f"step `{self.task_id}`: no container engine answers at {self.docker_url} ({error}). Start it, say "
                "where it is (DOCKER_HOST), or set `[flowmate] runtime = process` on a machine without one"
            ) from None
        return container_runtime(self, client, log)

    @property
    def _takes_messages(self) -> bool:
        return self.function in self.manifest.actions

    def _nothing(self, context: Any) -> BatchValue | None:
        """Return an empty batch where the run is a replay that brings no message here."""
        return empty_in_replay(context, self.inputs, self.part)

    def _input(self, context: Any) -> Input:
        if self.part is not None:
            return input_of([self.part], None)
        return step_input(context, self.inputs, self.when) if self.inputs else NOTHING

    def _run(self, context: Any, source: Input, writer: BatchWriter) -> BatchValue:
        replay = replay_of(context)
        if replay is None or not replay.is_at(context):
            return self.session(context).run(source, writer)
        memory = self._replay_memory(context, replay.step, settles=self.settles_letters)
        with memory.settling():
            part = source if self.part is None else memory.take_part(source)
            return self.session(context, memory=memory).run(part, writer)

    def _replay_memory(self, context: Any, step: str, *, settles: bool) -> ReplayMemory:
        return ReplayMemory(_step_run(context, step), context["ti"].map_index, settles=settles)

    def _task_labels(self, context: Any, run: StepRun) -> dict[str, str]:
        task_instance = context["ti"]
        return {
            **_own_labels(self.labels),
            "flowmate.flow": run.flow,
            "flowmate.run": run.run_id,
            "flowmate.step": run.step,
            "flowmate.map_index": str(task_instance.map_index),
            # Two Airflows on one engine have runs of the same name: a scheduled run is named by its time.
            "flowmate.dag_version": str(getattr(task_instance, "dag_version_id", "")),
        }

    def _started(self, running: Running) -> None:
        self._running.append(running)
        if self._killed:  # the kill came while the container was made
            running.stop()

    def _log_line(self, level: int, text: str) -> None:
        self.log.log(level, "%s", text)

    def _config_for(self, job: JobBody) -> dict[str, Any]:
        """Return `with`, and over it what the run's conf gives to the step."""
        function = self.manifest.function(self.function)
        if function is None:
            return self.config
        given, unknown = job.config_for(self.manifest.name, function, reads=not self._takes_messages)
        if unknown:
            self.log.warning("%s has no field %s, which the run's conf gives", self.use, ", ".join(unknown))
        return {**self.config, **given}

    def _reading_for(self, job: JobBody, link: Link | None) -> Reading:
        """Return what to read: of what the step says, what the run or its tenant chose."""
        is_asked = job.is_for(self.manifest.name)
        own = None if link is None else link.field_map
        chosen = job.field_map if is_asked and job.field_map is not None else own
        maps = [each for each in (chosen, job.tables if is_asked else None) if each is not None]
        if maps and self.manifest.protocol == "component" and self.reading.select is None:
            self.log.info("%s has no tables, so that no choice of them applies", self.use)
            return self.reading
        return self.reading.narrowed(*maps)

    def _account(self, conn_id: str, refused: Account | None = None) -> Account:
        """Return a Connection, with its secrets hidden in the log.

        :param refused: the one that the component had, when its token was refused
        """
        try:
            account = ask(BaseHook.get_connection, conn_id, self.task_id, manifest=self.manifest, refused=refused)
        except AirflowNotFoundException:
            raise missing_connection(conn_id, self.task_id, self.use) from None
        _mask(secrets_of(account, rare=False))
        return account


def _step_run(context: Any, step: str) -> StepRun:
    task_instance = context["ti"]
    return StepRun(task_instance.dag_id, task_instance.run_id, step, task_instance.try_number, tenant_of(context))


def _mask(secrets: Iterable[str]) -> None:
    """Tell Airflow's masker, which takes its time for each: the session itself hides the rare forms of secrets."""
    for secret in secrets:
        mask_secret(secret)


def _window(context: Any, job: JobBody, *, reads: bool) -> Window:
    """Return what the run's params, or its conf as a job, say about the part of the data that it shall read.

    :param reads: whether the step is one that reads by a state; to the others a window means nothing
    """
    params = context.get("params") or {}
    start = (job.start or params.get("start_date")) if reads else None
    end = (job.end or params.get("end_date")) if reads else None
    return Window(
        full=job.full or params.get("full_sync") is True,
        start=start if isinstance(start, str) else None,
        end=end if isinstance(end, str) else None,
    )


def _own_labels(labels: dict[str, str] | list[str] | None) -> dict[str, str]:
    """Return DockerOperator's `labels`, which may be names only, as names and values."""
    return dict(labels) if isinstance(labels, Mapping) else dict.fromkeys(labels or (), "")


def _find_manifest(use: str) -> Manifest:
    name = use.partition("/")[0]
    found = configured_catalog().get(name)
    if not isinstance(found, Manifest):
        raise ValueError(found or f"there is no connector `{name}`; `flowmate connectors list` shows what there is")
    return found


def _described(manifest: Manifest, function: str) -> str:
    what = manifest.function(function)
    lines = [f"connector: {manifest.name} {manifest.version}", f"title: {manifest.title}", f"image: {manifest.image}"]
    if what is not None:
        lines.append(f"function: {function} ({what.title})")
    return "\n".join(lines) + "\n"
