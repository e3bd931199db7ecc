"""The operator of a connector step."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from airflow.providers.docker.operators.docker import DockerOperator
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException, AirflowTaskTimeout
from airflow.sdk.execution_time.timeout import timeout
from airflow.sdk.log import mask_secret

from flowmate_airflow.auth.credentials import Account, account_of, missing_connection, secrets_of
from flowmate_airflow.batches.batch import BatchValue, BatchWriter
from flowmate_airflow.batches.message import Message
from flowmate_airflow.catalog.catalog import configured_catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.operators.runtime import container_runtime
from flowmate_airflow.operators.step import airflow_failures, batch_writer, input_messages, message_id_prefix
from flowmate_airflow.runtimes.base import Running, Runtime
from flowmate_airflow.steps.calls import StepRun, make_call
from flowmate_airflow.steps.connector import run_connector
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.jobs import job_for
from flowmate_airflow.steps.runtimes import RuntimeName, process_runtime, runtime_name
from flowmate_airflow.steps.templates import render

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
    :param inputs: the task ids whose messages it gets, in this order; none for a trigger
    :param when: JSONata; messages for which it is not true are left out
    :param on_error: when one message fails: `fail` the task, or `skip` the message
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
        inputs: Sequence[str] = (),
        when: str | None = None,
        on_error: Literal["fail", "skip"] = "fail",
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
        if on_error not in ("fail", "skip"):
            raise ValueError(f"`on_error` is {on_error!r}; it can be 'fail' or 'skip'")
        self.use = use
        self.manifest = manifest or _find_manifest(use)
        if self.manifest.function(self.function) is None:
            raise ValueError(f"the connector `{self.manifest.name}` has no function `{self.function}`")
        # What is not given comes from the manifest, which cpus' default of 1.0 would hide.
        self.container_overrides = frozenset(kwargs)
        super().__init__(image=kwargs.pop("image", self.manifest.image), auto_remove="force", **kwargs)
        self.config = dict(config or {})
        self.connection = connection
        self.inputs = list(inputs)
        self.when = when
        self.on_error = on_error
        self.connector = _described(self.manifest, self.function)
        self.source = source
        self._running: Running | None = None
        self._killed = False
        self._render_failure: ConfigFailure | None = None

    @property
    def function(self) -> str:
        """The function's name."""
        return self.use.partition("/")[2].partition("@")[0]

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render DockerOperator's own fields as ever, and `config` by leaf; the YAML is shown as it is."""
        environment = jinja_env or self.get_template_env()
        self._do_render_template_fields(self, DockerOperator.template_fields, context, environment, set())
        try:
            with timeout(RENDER_SECONDS, "rendering `with` takes too long"):  # type: ignore[no-untyped-call]
                self.config = render(self.config, context, environment)
        except ConfigFailure as error:
            self._render_failure = error  # raised in `execute`, where it fails the task without a retry
        except AirflowTaskTimeout:
            self._render_failure = ConfigFailure(f"rendering `with` took more than {RENDER_SECONDS} seconds")

    def execute(self, context: Any) -> BatchValue:  # type: ignore[override]
        """Run the component over the batch and return the value of the new one."""
        writer = batch_writer(context)
        with airflow_failures(writer):
            messages = input_messages(context, self.inputs, self.when) if self.inputs else iter(())
            try:
                return self._run(context, messages, writer)
            except StepError as error:
                if error.exit_code is not None and error.exit_code in self.skip_on_exit_code:
                    raise AirflowSkipException(str(error)) from None
                raise

    def on_kill(self) -> None:
        """End the container; :meth:`execute` then removes it and fails."""
        self._killed = True
        if self._running is not None:
            self._running.stop()

    def _run(self, context: Any, messages: Iterable[Message], writer: BatchWriter) -> BatchValue:
        if self._render_failure is not None:
            raise ConfigFailure(f"step `{self.task_id}`: {self._render_failure}")
        account = self._account()
        for secret in secrets_of(account):
            mask_secret(secret)
        task_instance = context["ti"]
        run = StepRun(task_instance.dag_id, task_instance.run_id, task_instance.task_id, task_instance.try_number)
        call = make_call(
            self.manifest,
            self.use,
            run,
            config=self.config,
            account=account,
            on_error=self.on_error,
            id_prefix=message_id_prefix(context),
        )
        labels = {
            **_own_labels(self.labels),
            "flowmate.flow": run.flow,
            "flowmate.run": run.run_id,
            "flowmate.step": run.step,
            "flowmate.map_index": str(task_instance.map_index),
            # Two Airflows on one engine have runs of the same name: a scheduled run is named by its time.
            "flowmate.dag_version": str(getattr(task_instance, "dag_version_id", "")),
        }
        name = runtime_name()
        runtime = self._runtime(name)
        job = job_for(self.manifest, self.function, labels=labels, runtime=name)
        self.log.info("Running %s %s (%s)", self.use, self.manifest.version, self.image)
        run_connector(
            runtime, replace(job, image=self.image), call, messages, writer, self._log_line, on_start=self._started
        )
        return writer.finish()

    def _started(self, running: Running) -> None:
        self._running = running
        if self._killed:  # the kill came while the container was made
            running.stop()

    def _log_line(self, level: int, text: str) -> None:
        self.log.log(level, "%s", text)

    def _runtime(self, name: RuntimeName) -> Runtime:
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

    def _account(self) -> Account | None:
        if self.connection is None:
            return None
        try:
            return account_of(BaseHook.get_connection(self.connection))
        except AirflowNotFoundException:
            raise missing_connection(self.connection, self.task_id, self.use) from None


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
