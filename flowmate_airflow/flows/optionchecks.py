"""Checks of the options of a `use` step that make sense for some functions only."""

from __future__ import annotations

from collections.abc import Iterator

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.flows.errors import Problem
from flowmate_airflow.flows.models import Flow, UseStep
from flowmate_airflow.flows.positions import Path, SourceMap

FOR_SOURCES = ("select", "sync")
OUT_OF_TURN = ("start_date", "end_date")
"""Params by which a run reads a part of the data, whatever the state says."""
FOR_ACTIONS = ("batch", "external_id", "load", "stream")


def check_options(step: UseStep, manifest: Manifest, path: Path, source: SourceMap) -> Iterator[Problem]:
    """Yield the options that do not go with the step's function."""
    is_trigger = step.function in manifest.triggers
    for name in sorted(step.model_fields_set):
        if is_trigger and name in FOR_ACTIONS:
            yield source.problem(
                f"`{name}` is for steps that get messages, and `{step.use}` is a trigger", (*path, name), at="key"
            )
        elif not is_trigger and name in FOR_SOURCES:
            yield source.problem(
                f"`{name}` is for steps that read, and `{step.use}` is an action", (*path, name), at="key"
            )
    if is_trigger and step.on_error == "dead_letter":
        yield source.problem(
            f"`{step.use}` gets no messages that could become dead letters",
            (*path, "on_error"),
            "put it on the step that takes them",
        )
    if not is_trigger and "load" in step.model_fields_set and manifest.protocol == "component":
        yield source.problem(
            f"`load` is for targets of the protocols singer and airbyte; `{manifest.name}` speaks `component`",
            (*path, "load"),
            "say it with the function's own fields, under `with`",
            at="key",
        )
    if step.batch is not None and step.load.mode == "overwrite":
        yield source.problem(
            "`overwrite` with `batch` would keep the last batch only: each container replaces what is there",
            (*path, "batch"),
            "remove `batch`, or load by `append` or `dedup`",
            at="key",
        )
    if step.batch is not None and not is_trigger and manifest.keeps_state(step.function):
        yield source.problem(
            f"`{step.use}` remembers one state, which several containers cannot write", (*path, "batch"), at="key"
        )
    if "sync" in step.model_fields_set and is_trigger and manifest.protocol == "component":
        yield source.problem(
            f"`sync` is for sources of the protocols singer and airbyte; `{manifest.name}` speaks `component`",
            (*path, "sync"),
            "say it with the function's own fields, under `with`",
            at="key",
        )


def check_sync_params(flow: Flow, source: SourceMap) -> Iterator[Problem]:
    """Yield the params of a flow with state that would have each run read out of turn, and keep no state ever."""
    for name in OUT_OF_TURN:
        if flow.params.get(name, {}).get("default") is not None:
            yield source.problem(
                f"the param `{name}` has a run read out of turn, so with this default no run would keep a state",
                ("params", name, "default"),
                "let the default be null, or give the param another name",
            )


def check_pairs(flow: Flow, places: dict[str, int], source: SourceMap) -> Iterator[Problem]:
    """Yield what is wrong with streamed pairs.

    :param places: where each of the flow's steps stands in the file
    """
    steps = {step.id: step for step in flow.steps}
    consumers: dict[str, list[str]] = {}
    for index, step in enumerate(flow.steps):
        for need in flow.needs(index):
            consumers.setdefault(need, []).append(step.id)
    for index, step in enumerate(flow.steps):
        if not isinstance(step, UseStep) or not step.stream:
            continue
        path: Path = ("steps", places[step.id], "stream")
        needs = flow.needs(index)
        first = steps.get(needs[0]) if len(needs) == 1 else None
        if step.batch is not None:
            yield source.problem("`stream` and `batch` exclude each other", path, "remove one of them", at="key")
        if not isinstance(first, UseStep):
            yield source.problem(
                "`stream: true` joins this step with the one before, which must be one `use` step", path, at="key"
            )
        elif first.stream or first.batch is not None:
            yield source.problem(
                f"`{first.id}` is streamed or cut into batches itself; only a pair can be streamed", path, at="key"
            )
        elif consumers.get(first.id, []) != [step.id]:
            others = ", ".join(f"`{each}`" for each in consumers[first.id] if each != step.id)
            yield source.problem(
                f"`{first.id}` hands its messages to {others} too, so they cannot go to this step only",
                path,
                "remove `stream`",
                at="key",
            )
