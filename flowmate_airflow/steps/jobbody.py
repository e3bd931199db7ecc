"""What a run's conf asks for in the words of hotglue's jobs, such as `override_start_date`.

Its applications start jobs by such a body, so a run takes one as its conf. The keys and their meaning are those of
hotglue's public documentation of jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from flowmate_airflow.batches.batch import depth_is_at_most
from flowmate_airflow.catalog.manifest import Function
from flowmate_airflow.flows.errors import did_you_mean, shown
from flowmate_airflow.flows.expressions import leaves
from flowmate_airflow.flows.fieldmaps import FieldMap, check_field_map
from flowmate_airflow.flows.secrets import looks_like_secret
from flowmate_airflow.steps.errors import ConfigFailure

MAX_TIME = 100
"""Characters of a time."""
MAX_DEPTH = 20
OVERRIDES = ("override_source_config", "override_target_config", "override_connector_config")
"""Fields for steps that read, for steps that write, and for both."""
NOTED = ("job_type", "job_name", "streaming_job", "task_type", "tap", "target", "override_lifecycle_webhook")
"""What means nothing here, as the flow says it or nobody needs to."""

_Problem: TypeAlias = str | None


@dataclass(frozen=True, slots=True)
class JobBody:
    """What a run is asked for.

    :param start: read changes since then, out of turn
    :param end: read changes until then, out of turn
    :param full: read everything, as if there were no state
    :param connector: the connector that the field map and the configuration are for; None: all of the flow
    :param tables: which tables are read
    :param field_map: which tables and fields are read, instead of what the tenant chose
    :param configs: fields by the key of :data:`OVERRIDES`
    :param queues: whether the run waits for the tenant's active one; None: as the flow says
    :param ignores_turn: whether it runs beside the tenant's active one
    :param ignored: keys that mean nothing here
    """

    start: str | None = None
    end: str | None = None
    full: bool = False
    connector: str | None = None
    tables: FieldMap | None = None
    field_map: FieldMap | None = None
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queues: bool | None = None
    ignores_turn: bool = False
    ignored: tuple[str, ...] = ()

    def is_for(self, connector: str) -> bool:
        """Whether what it says of one connector is said of this one."""
        return self.connector in (None, connector)

    def config_for(self, connector: str, function: Function, *, reads: bool) -> tuple[dict[str, Any], list[str]]:
        """Return the fields for a step, and the names of those that its function does not know.

        :param reads: whether the function is a trigger
        """
        if not self.is_for(connector):
            return {}, []
        keys = ("override_connector_config", "override_source_config" if reads else "override_target_config")
        given = {name: value for key in keys for name, value in self.configs.get(key, {}).items()}
        known = {name: value for name, value in given.items() if name in function.fields}
        return known, sorted(given.keys() - known.keys())


def job_body(conf: Any, params: Collection[str] = ()) -> JobBody:
    """Return what a run's conf asks for; nothing where it is no job's body.

    :param params: the flow's own params, which mean what the flow says
    :raises ConfigFailure: a key has a value that it cannot have, or is unknown; the text names all of them
    """
    if not isinstance(conf, Mapping) or not _is_body(conf):
        return JobBody()
    given = {key: value for key, value in conf.items() if key not in params and value is not None}
    problems: list[str] = []
    found: dict[str, Any] = {}
    for key, value in given.items():
        read = _READERS.get(key)
        if read is not None:
            problem = read(key, value, found)
        elif key.startswith("override_") and key not in NOTED:
            problem = f"`{key:.60}` is not known{_hint(key)}"
        else:
            problem = None
        if problem is not None:
            problems.append(problem)
    if problems:
        raise ConfigFailure(f"the run's conf: {'; '.join(problems)}")
    configs = {key: found.pop(key) for key in OVERRIDES if key in found}
    return JobBody(**found, configs=configs, ignored=tuple(key for key in NOTED if key in given))


def _is_body(conf: Mapping[str, Any]) -> bool:
    """Whether a conf can be a job's body: other flows may have a `state` in theirs, which is not meant so."""
    return "tenant" in conf or any(str(key).startswith("override_") or key == "reset_source_state" for key in conf)


def _hint(key: str) -> str:
    hint = did_you_mean(key, [name for name in _READERS if name.startswith("override_")])
    return f" ({hint})" if hint is not None and hint.startswith("did you mean") else ""


def _time(key: str, value: Any, found: dict[str, Any]) -> _Problem:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TIME:
        return f"`{key}` must be a time such as 2026-01-31T00:00:00Z, not {shown(value)}"
    found["start" if key == "override_start_date" else "end"] = value
    return None


def _flag(name: str, translate: Callable[[bool], Any] = lambda value: value) -> Callable[..., _Problem]:
    def read(key: str, value: Any, found: dict[str, Any]) -> _Problem:
        if not isinstance(value, bool):
            return f"`{key}` must be true or false, not {shown(value)}"
        found[name] = translate(value)
        return None

    return read


def _connector(key: str, value: Any, found: dict[str, Any]) -> _Problem:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TIME:
        return f"`{key}` must be a connector's name, not {shown(value)}"
    found["connector"] = value
    return None


def _tables(key: str, value: Any, found: dict[str, Any]) -> _Problem:
    """Read either form: `{"orders": true}` or `["orders"]`."""
    if isinstance(value, list) and all(isinstance(each, str) and each for each in value):
        value = dict.fromkeys(value, True)
    if not isinstance(value, Mapping) or not all(isinstance(on, bool) for on in value.values()):
        return f'`{key}` must be a list of tables, or an object such as {{"orders": true}}, not {shown(value)}'
    if value:
        found["tables"] = {str(table): "*" if on else False for table, on in value.items()}
    return None


def _map(key: str, value: Any, found: dict[str, Any]) -> _Problem:
    if value == {}:
        return None
    try:
        found["field_map"] = check_field_map(value)
    except ValueError as error:
        return f"`{key}`: {error}"
    return None


def _config(key: str, value: Any, found: dict[str, Any]) -> _Problem:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return f"`{key}` must be an object, not {shown(value)}"
    if not depth_is_at_most(value, MAX_DEPTH):
        return f"`{key}` is nested too deep"
    for path, leaf in leaves(dict(value)):
        name = next((part for part in reversed(path) if isinstance(part, str)), None)
        if looks_like_secret(name, leaf):
            return (
                f"`{key}` has `{'.'.join(map(str, path)):.100}`, which looks like a secret, and everybody who sees "
                "the run could read it; keep it in the tenant's link"
            )
    found[key] = value
    return None


def _nothing(reason: str) -> Callable[..., _Problem]:
    def read(key: str, value: Any, _found: dict[str, Any]) -> _Problem:
        return f"`{key}` cannot be: {reason}" if value else None

    return read


_READERS: dict[str, Callable[[str, Any, dict[str, Any]], _Problem]] = {
    "override_start_date": _time,
    "override_end_date": _time,
    "reset_source_state": _flag("full"),
    "connector_id": _connector,
    "override_selected_tables": _tables,
    "override_field_map": _map,
    **dict.fromkeys(OVERRIDES, _config),
    "queue_if_active_job": _flag("queues"),
    "ignore_parallel_jobs": _flag("ignores_turn"),
    "environment_variables": _nothing("connectors get no environment; give fields by `override_connector_config`"),
    "state": _nothing("a run takes no records in its conf; send them to a flow with `webhook`"),
}
"""What reads a key: it puts the value where it belongs, or returns what is wrong with it."""
