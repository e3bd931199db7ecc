"""`flowmate discover`: which tables and fields a step's source has, what the step reads of them, and what changed."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from flowmate_airflow.build.graph import FlowGraph, build_graph
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.cli import catalogview
from flowmate_airflow.cli.asking import moment
from flowmate_airflow.cli.common import catalog_of, count, load_one, print_json
from flowmate_airflow.cli.errors import FAILED, CommandError, UsageError
from flowmate_airflow.cli.inputs import read_params
from flowmate_airflow.cli.runcontext import RunFacts
from flowmate_airflow.cli.selectblock import select_block
from flowmate_airflow.cli.sourcecatalog import Asked, ask_source
from flowmate_airflow.cli.tenancy import for_tenant
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.flows.models import UseStep
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.drift import Change, drift
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.runtimes import RuntimeName, runtime_name
from flowmate_airflow.steps.selection import Tables
from flowmate_airflow.steps.steplog import clean

MAX_CHANGES = 50


@dataclass(frozen=True, slots=True)
class Found:
    """All that there is to tell of a source."""

    step: UseStep
    asked: Asked
    tables: Tables
    selected: catalogview.Selected
    problems: Sequence[str]
    changes: Sequence[Change]


def discover(arguments: Namespace) -> int:
    """Print the source's tables and fields; the exit code tells whether the step's `select` fits them."""
    catalog = catalog_of(arguments)
    graph = build_graph(load_one(Path(arguments.flow), catalog), catalog)
    _source(graph, arguments.step)
    step, manifest = _source(for_tenant(graph, arguments.tenant, [arguments.step]).graph, arguments.step)
    params, now = read_params(graph.flow, arguments.params), datetime.now(timezone.utc)
    facts = RunFacts(graph.flow_id, "discover", now, params, arguments.tenant or "")
    try:
        asked = ask_source(step, manifest, facts, _runtime(arguments), refresh=arguments.refresh)
    except StepError as error:
        text = str(error)
        raise CommandError(text if text.startswith("step `") else f"step `{step.id}`: {text}") from None
    found = _found(step, asked)
    streams = _wanted(found, arguments.table)
    if arguments.write_select:
        _write(list(select_block(found.tables, streams)), arguments.write_select)
    elif arguments.format == "json":
        print_json(_as_json(found, streams))
    else:
        print("\n".join(_report(found, streams, everything=arguments.table is not None)))
    return FAILED if found.problems else 0


def _source(graph: FlowGraph, name: str) -> tuple[UseStep, Manifest]:
    node = next((node for node in graph.nodes if node.id == name), None)
    if node is None:
        hint = did_you_mean(name, [node.id for node in graph.nodes])
        raise UsageError(f"the flow has no step `{name}`" + (f"; {hint}" if hint else ""))
    if not isinstance(node.step, UseStep) or node.connector is None:
        raise UsageError(f"step `{name}` uses no connector, so there is nothing to discover")
    if node.step.function not in node.connector.triggers:
        raise UsageError(f"step `{name}`: `{node.step.use}` is an action; only what reads has tables to discover")
    return node.step, node.connector


def _runtime(arguments: Namespace) -> RuntimeName:
    if arguments.runtime:
        return cast("RuntimeName", arguments.runtime)
    try:
        return runtime_name()
    except StepError as error:
        raise UsageError(str(error)) from None


def _found(step: UseStep, asked: Asked) -> Found:
    selected, problems = catalogview.selection_of(step.select, asked.streams, step.sync.mode, step.sync.cursors)
    changes = drift(asked.before.streams, asked.streams) if asked.before else ()
    return Found(step, asked, Tables(asked.streams), selected, problems, changes)


def _wanted(found: Found, table: str | None) -> list[Stream]:
    if table is None:
        return found.tables.streams
    problems: list[str] = []
    stream = found.tables.find(table, None, problems)
    if stream is None:
        raise UsageError(f"--table: {clean(problems[0])}")
    return [stream]


def _report(found: Found, streams: Sequence[Stream], *, everything: bool) -> Iterator[str]:
    step, asked = found.step, found.asked
    account = f" with the Connection `{step.connection}`" if step.connection else ""
    when = f"as it was {moment(asked.at)}; --refresh asks again" if asked.from_store else "asked now"
    yield f"{step.use}{account}, {when}"
    yield from _changes(found)
    yield from _problems(found)
    yield ""
    if everything:
        for stream in streams:
            yield from catalogview.details(found.tables, stream, found.selected)
        return
    yield f"{catalogview.totals(streams, found.selected)}:"
    yield ""
    yield from catalogview.overview(found.tables, found.selected)
    if not catalogview.is_short(streams):
        yield ""
        yield "--table NAME lists the fields of one."
        return
    for stream in streams:
        yield ""
        yield from catalogview.details(found.tables, stream, found.selected)


def _changes(found: Found) -> Iterator[str]:
    before = found.asked.before
    if before is None or not found.changes:
        return
    yield ""
    breaking = sum(change.breaking for change in found.changes)
    kinds = f", {breaking:,} of them breaking" if breaking else ", none breaking"
    yield f"{count(len(found.changes), 'change')} since {moment(before.at)}{kinds}:"
    for change in found.changes[:MAX_CHANGES]:
        yield f"  {'!' if change.breaking else ' '} {clean(change.text, 300)}"
    if len(found.changes) > MAX_CHANGES:
        yield f"    and {len(found.changes) - MAX_CHANGES:,} more (--format json tells all)"


def _problems(found: Found) -> Iterator[str]:
    if not found.problems:
        return
    yield ""
    yield "The step asks for what the source does not have:"
    yield from (f"  - {clean(problem, 500)}" for problem in found.problems)


def _as_json(found: Found, streams: Sequence[Stream]) -> dict[str, Any]:
    asked = found.asked
    return {
        "use": found.step.use,
        "step": found.step.id,
        "connection": found.step.connection,
        "asked_at": asked.at.isoformat(),
        "from_store": asked.from_store,
        "tables": [catalogview.as_json(found.tables, stream, found.selected) for stream in streams],
        "problems": list(found.problems),
        "compared_with": asked.before.at.isoformat() if asked.before else None,
        "changes": [change.as_json() for change in found.changes],
    }


def _write(lines: Sequence[str], target: str) -> None:
    text = "\n".join(lines) + "\n"
    if target == "-":
        print(text, end="")
        return
    try:
        with Path(target).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"--write-select: {target} is there already; name another file, or - to print it") from None
    except OSError as error:
        raise CommandError(f"--write-select: {target} cannot be written: {error.strerror}") from None
    print(f"wrote {target}; paste it into the step", file=sys.stderr)
