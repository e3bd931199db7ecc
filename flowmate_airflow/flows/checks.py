"""The checks that one model cannot make: between steps, against the catalog, inside expressions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Function, Manifest
from flowmate_airflow.flows.errors import Problem, did_you_mean
from flowmate_airflow.flows.expressions import check_jinja, check_jsonata, is_template, leaves
from flowmate_airflow.flows.graphchecks import check_graph
from flowmate_airflow.flows.models import Flow, MapStep, UseStep, WaitStep, effective_needs
from flowmate_airflow.flows.optionchecks import check_options, check_pairs, check_sync_params
from flowmate_airflow.flows.positions import Path, SourceMap
from flowmate_airflow.flows.schedules import check_params, check_schedule
from flowmate_airflow.flows.schemas import violations
from flowmate_airflow.flows.secrets import looks_like_secret
from flowmate_airflow.flows.tenantchecks import check_tenants
from flowmate_airflow.flows.webhookchecks import check_wait, check_webhook
from flowmate_airflow.flows.webhookmodels import WEBHOOK


def check_flow(
    flow: Flow, source: SourceMap, catalog: Catalog, written: list[Any], standing: list[int]
) -> Iterator[Problem]:
    """Yield every problem of a flow.

    :param flow: the flow, or what is left of it without the parts that its models reject
    :param written: the `steps` as the file has them, so that a rejected step still has its place and its id
    :param standing: the place in `written` of each of the flow's steps
    """
    yield from check_schedule(flow, source)
    yield from check_params(flow, source)
    yield from check_graph(written, source, flow.above)
    yield from check_webhook(flow, source, catalog)
    yield from check_tenants(flow, source, catalog, written)
    needs = [(str(_written(step, "id")), _written(step, "needs")) for step in written]
    for index, step in zip(standing, flow.steps, strict=True):
        path: Path = ("steps", index)
        before = effective_needs(needs, index, flow.above)
        first = not before
        if step.when is not None:
            yield from _check_jsonata(step.when, (*path, "when"), source)
        if isinstance(step, MapStep):
            yield from _check_jsonata(step.map, (*path, "map"), source)
            if first:
                yield source.problem(
                    "a `map` step has nothing to map when it comes first", (*path, "map"), "let it follow another step"
                )
        elif isinstance(step, WaitStep):
            yield from check_wait(step, path, first, flow, source)
            yield from _check_jsonata(step.wait.match, (*path, "wait", "match"), source)
        else:
            if step.external_id is not None:
                yield from _check_jsonata(step.external_id, (*path, "external_id"), source)
            yield from _check_use(step, path, before, flow, source, catalog)
        if first and step.when is not None:
            yield source.problem(
                "`when` picks messages, and a first step gets none", (*path, "when"), "put it on the next step"
            )
    if any(_keeps_state(step, catalog) for step in flow.steps):
        yield from check_sync_params(flow, source)
    if len(standing) == len(written):
        places = {step.id: index for index, step in zip(standing, flow.steps, strict=True)}
        yield from check_pairs(flow, places, source)


def _keeps_state(step: Any, catalog: Catalog) -> bool:
    entry = catalog.get(step.connector) if isinstance(step, UseStep) else None
    return isinstance(entry, Manifest) and entry.keeps_state(step.function)


def _written(step: Any, key: str) -> Any:
    value = step.get(key) if isinstance(step, dict) else None
    return value if key != "needs" or isinstance(value, list) else None


def _check_jsonata(text: str, path: Path, source: SourceMap) -> Iterator[Problem]:
    problem = check_jsonata(text)
    if problem is not None:
        yield source.problem(problem.message, path, problem.hint, offset=problem.offset)


def _check_use(
    step: UseStep, path: Path, before: list[str], flow: Flow, source: SourceMap, catalog: Catalog
) -> Iterator[Problem]:
    yield from _check_with_texts(step, path, flow, source)
    entry = catalog.get(step.connector)
    if entry is None:
        hint = did_you_mean(step.connector, catalog.names()) or "`flowmate connectors list` shows what there is"
        yield source.problem(f"there is no connector `{step.connector}`", (*path, "use"), hint)
        return
    if isinstance(entry, str):
        yield source.problem(f"the manifest of `{step.connector}` has problems: {entry}", (*path, "use"))
        return
    function = entry.function(step.function)
    if function is None:
        names = [*entry.triggers, *entry.actions]
        hint = did_you_mean(step.function, names) or f"`flowmate connectors show {entry.name}` lists its functions"
        yield source.problem(f"`{entry.name}` has no function `{step.function}`", (*path, "use"), hint)
        return
    yield from _check_version(step, entry, path, source)
    yield from _check_position(step, entry, path, before, source)
    yield from _check_fields(step, function, path, source)
    yield from _check_connection(step, entry, path, flow, source)
    yield from check_options(step, entry, path, source)


def _check_version(step: UseStep, manifest: Manifest, path: Path, source: SourceMap) -> Iterator[Problem]:
    if step.version is not None and not f"{manifest.version}.".startswith(f"{step.version}."):
        yield source.problem(
            f"the catalog has `{manifest.name}` {manifest.version}, the step asks for {step.version}",
            (*path, "use"),
            f"write `{manifest.name}/{step.function}@{manifest.version}`, or install that version",
        )


def _check_position(
    step: UseStep, manifest: Manifest, path: Path, before: list[str], source: SourceMap
) -> Iterator[Problem]:
    trigger = manifest.triggers.get(step.function)
    if trigger is not None and before == [WEBHOOK] and trigger.webhook is None:
        yield source.problem(
            f"`{step.use}` is a trigger that takes no events, so it cannot follow the flow's `webhook`",
            (*path, "use"),
            "use its actions, or a trigger with `webhook` in its manifest; or start the flow by a `schedule`",
        )
    elif trigger is not None and before and before != [WEBHOOK]:
        yield source.problem(
            f"`{step.use}` is a trigger: it takes no messages, so no step can come before it",
            (*path, "use"),
            "make it the first step, or write `needs: []`",
        )
    if trigger is None and not before:
        triggers = ", ".join(f"`{manifest.name}/{name}`" for name in manifest.triggers)
        yield source.problem(
            f"`{step.use}` is an action: it needs messages, so it cannot come first",
            (*path, "use"),
            "begin with a trigger" + (f", such as {triggers}" if triggers else ""),
        )


def _check_fields(step: UseStep, function: Function, path: Path, source: SourceMap) -> Iterator[Problem]:
    place = (*path, "with") if step.with_ else (*path, "use")
    for name in step.with_:
        if name not in function.fields:
            hint = did_you_mean(name, function.fields) or _fields_hint(step, function)
            yield source.problem(f"`{step.use}` has no field `{name}`", (*path, "with", name), hint, at="key")
    missing = [name for name in function.required if name not in step.with_]
    for name in missing:
        yield source.problem(f"`{step.use}` needs the field `{name}`", place, f"add `{name}:` under `with:`", at="key")
    known = {name: value for name, value in step.with_.items() if name in function.fields}
    for violation in violations(function.fields, known):
        if not violation.hangs_on_template:
            yield source.problem(violation.message, (*path, "with", *violation.path))


def _fields_hint(step: UseStep, function: Function) -> str:
    if function.fields:
        return f"`flowmate connectors show {step.connector}` lists its fields"
    return f"`{step.connector}/{step.function}` has no fields; remove the line"


def _check_connection(
    step: UseStep, manifest: Manifest, path: Path, flow: Flow, source: SourceMap
) -> Iterator[Problem]:
    if step.connection is not None and not manifest.auth:
        yield source.problem(f"`{manifest.name}` takes no connection", (*path, "connection"), "remove the line")
    needs_one = step.connection is None and flow.tenants is None
    if needs_one and manifest.auth and all(method.required for method in manifest.auth.values()):
        yield source.problem(
            f"`{manifest.name}` needs a connection", (*path, "use"), "add `connection:` with an Airflow conn_id"
        )


def _check_with_texts(step: UseStep, path: Path, flow: Flow, source: SourceMap) -> Iterator[Problem]:
    for place, value in leaves(step.with_):
        key = next((part for part in reversed(place) if isinstance(part, str)), None)
        if looks_like_secret(key, value):
            yield source.problem(
                f"`{key}` looks like a secret, and everybody who sees the flow could read it",
                (*path, "with", *place),
                "store it in an Airflow Connection and name that under `connection:`",
                at="key",
            )
        if is_template(value):
            problem = check_jinja(value, flow.params, tenants=flow.tenants is not None)
            if problem is not None:
                yield source.problem(problem.message, (*path, "with", *place), problem.hint, offset=problem.offset)
