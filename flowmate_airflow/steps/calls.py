"""What one `use` step asks of its component, put together from the flow, the manifest and the Connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.auth.credentials import Account, credentials_for, is_renewed
from flowmate_airflow.catalog.manifest import Function, Manifest
from flowmate_airflow.protocols.base import RENEWS, Request
from flowmate_airflow.protocols.streams import Load, SelectedStream, Stream
from flowmate_airflow.runtimes.egress.rules import Egress
from flowmate_airflow.steps.connector import Call, OnError
from flowmate_airflow.steps.egress import egress_of
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.jobs import check_config
from flowmate_airflow.steps.projection import Projection


@dataclass(frozen=True, slots=True)
class StepRun:
    """One try of one step of one run."""

    flow: str
    run_id: str
    step: str
    try_number: int = 1
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """What part of the source's data a run shall read, whatever the state says.

    :param full: all of it, from the beginning
    :param start: changes since then, as the connector writes times
    :param end: changes until then
    """

    full: bool = False
    start: str | None = None
    end: str | None = None

    @property
    def is_override(self) -> bool:
        """Whether the run reads a piece out of turn, which must not change the state."""
        return self.start is not None or self.end is not None


@dataclass(frozen=True, slots=True)
class StepCall:
    """One step's use of a connector, as the flow says it, with its templates rendered.

    :param account: the Connection, or None when the step names none
    :param changed: credentials that the connector handed back earlier, stronger than the Connection's
    :param selected: the streams a source shall read, None when it has no say
    :param incoming: the streams of the messages it gets
    :param renews: whether the Connection can be asked for again while the component runs
    """

    manifest: Manifest
    use: str
    run: StepRun
    config: Mapping[str, Any]
    account: Account | None = None
    changed: Mapping[str, Any] = field(default_factory=dict, repr=False)
    state: Any = None
    window: Window = field(default_factory=Window)
    load: Load = field(default_factory=Load)
    on_error: OnError = "fail"
    id_prefix: str = "m"
    renews: bool = False

    @property
    def function(self) -> Function:
        """The function's manifest.

        :raises ConfigFailure: there is none of that name
        """
        name = function_name(self.use)
        found = self.manifest.function(name)
        if found is None:
            raise ConfigFailure(f"step `{self.run.step}`: `{self.manifest.name}` has no function `{name}`")
        return found

    @property
    def egress(self) -> Egress | None:
        """The hosts that its component may reach, None when any.

        :raises ConfigFailure: the Connection does not say them as the manifest wants
        """
        return egress_of(self.manifest, self.account, self.run.step)

    def request(
        self, selected: Sequence[SelectedStream] | None = None, incoming: Sequence[Stream] = (), verb: Any = "run"
    ) -> Request:
        """Return what the component is asked.

        :raises ConfigFailure: a field does not fit the function, or the Connection lacks a part
        """
        function = self.function
        check_config(function, self.config, self.run.step)
        return Request(
            verb=verb,
            function=function.calls or function_name(self.use),
            config=self._config(function),
            credentials={**credentials_for(self.manifest, self.account, self.run.step), **self._changed()},
            state=None if self.window.full or self.window.is_override else self.state,
            context=self._context(verb),
            selected=selected,
            incoming=incoming,
            load=self.load,
            egress=self.egress,
        )

    def call(self, request: Request) -> Call:
        """Return the step's call, with what it was asked."""
        projection = None if request.selected is None else Projection(request.selected)
        return Call(self.run.step, self.use, request, self.id_prefix, self.on_error, projection)

    def _changed(self) -> dict[str, Any]:
        """Return what the connector changed, but what the flow says itself: a component writes back all of its
        configuration, also what was only a default or is another now."""
        methods = self.manifest.auth.values()
        credentials = {name for method in methods for name in (*method.required, *method.optional)}
        return {
            name: value for name, value in self.changed.items() if name in credentials or not _has(self.config, name)
        }

    def _config(self, function: Function) -> dict[str, Any]:
        config = {**self.manifest.defaults, **self.config}
        if not self.manifest.keeps_state(function_name(self.use)):
            return config  # a part of the data is asked of those that read it
        for field_name, value in (("start_date", self.window.start), ("end_date", self.window.end)):
            if value is None:
                continue
            if field_name not in function.fields:
                raise ConfigFailure(
                    f"step `{self.run.step}`: `{self.use}` has no field `{field_name}`, so that the run's "
                    f"`{field_name}` cannot be told to it; run without"
                )
            config[field_name] = value
        return config

    def _context(self, verb: str) -> dict[str, Any]:
        run = self.run
        context: dict[str, Any] = {
            "flow": run.flow,
            "run_id": run.run_id,
            "step": run.step,
            "function": function_name(self.use),
            "try_number": run.try_number,
            "on_error": self.on_error,
            "full_sync": self.window.full,
        }
        if run.tenant:
            context["tenant"] = run.tenant
        if self.renews and verb == "run" and is_renewed(self.manifest, self.account, run.step):
            context[RENEWS] = True
        node = self.manifest.node
        if node is not None:
            context["settings"] = {
                "dialect": node.dialect,
                "timeout": node.timeout,
                "rebound_initial": node.rebound_delay,
                "rebound_limit": node.rebound_limit,
                "node_settings": self.config.get("nodeSettings") or {},
                "tenant": run.tenant,
            }
        return context


def function_name(use: str) -> str:
    """Return the function that a step's `use` names."""
    return use.partition("/")[2].partition("@")[0]


def _has(config: Any, name: str) -> bool:
    """Whether a configuration has a name, which has dots where it is nested."""
    for part in name.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return False
        config = config[part]
    return True
