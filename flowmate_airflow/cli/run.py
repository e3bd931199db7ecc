"""`flowmate run`: a flow, or one step of it, run here."""

from __future__ import annotations

import json
import logging
import signal
import sys
import tempfile
import threading
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import cast
from uuid import uuid4

from flowmate_airflow.batches.batch import PREVIEW, BatchValue, read_batch
from flowmate_airflow.batches.message import Message
from flowmate_airflow.build.graph import FlowGraph, Node, build_graph
from flowmate_airflow.cli.common import catalog_of, count, load_one
from flowmate_airflow.cli.display import make_display
from flowmate_airflow.cli.engines import Engines
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.cli.inputs import read_messages, read_params
from flowmate_airflow.cli.localrun import LocalRun, LogToDisplay, StepFailed
from flowmate_airflow.cli.runcontext import RunFacts
from flowmate_airflow.cli.tenancy import ForTenant, for_tenant
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.inputs import NOTHING
from flowmate_airflow.steps.runtimes import RuntimeName, runtime_name

_PREVIEW_CHARACTERS = 2000


def run(arguments: Namespace) -> int:
    """Run the flow, show how it goes, and print the last step's messages."""
    catalog = catalog_of(arguments)
    graph = build_graph(load_one(Path(arguments.flow), catalog), catalog)
    node = _only(graph, arguments)
    ours = for_tenant(graph, arguments.tenant, None if node is None else [node.id])
    graph, node = ours.graph, None if node is None else ours.graph.node(node.id)
    params = read_params(graph.flow, arguments.params)
    now = datetime.now(timezone.utc)
    run_id = f"local__{now.isoformat()}_{uuid4().hex[:8]}"
    facts = RunFacts(graph.flow_id, run_id, now, params, arguments.tenant or "")
    output = Path(arguments.output) if arguments.output else None
    with tempfile.TemporaryDirectory(prefix="flowmate-run-") as folder, _ended_by_signal():
        values = _run(ours, node, facts, arguments, Path(folder), output)
        _print_last(graph, values, everything=arguments.full)
    return 0


def _run(
    ours: ForTenant, node: Node | None, facts: RunFacts, arguments: Namespace, folder: Path, output: Path | None
) -> dict[str, BatchValue]:
    graph = ours.graph
    nodes = graph.in_order() if node is None else [node]
    log = logging.Logger("flowmate.run")  # of its own: what Airflow does to the root's handlers is no concern here
    with make_display([each.id for each in nodes]) as display, Engines(_runtime(arguments), log) as engines:
        log.addHandler(LogToDisplay(display))
        local = LocalRun(graph, facts, engines, display, folder, output, field_maps=ours.field_maps)
        try:
            given = read_messages(arguments.input) if arguments.input else ()
            if node is None:
                local.run(given)
            else:
                local.step(node, local.given(node, given) if arguments.input else NOTHING)
        except StepFailed as error:
            failure = error
        else:
            return local.values
    raise CommandError(str(failure))


def _only(graph: FlowGraph, arguments: Namespace) -> Node | None:
    """Return the one step that is to run, or None for the whole flow."""
    if arguments.step is None:
        if arguments.input is not None and graph.webhook is None:
            raise UsageError("--input is for one step: name it with --step")
        if arguments.input is None and graph.webhook is not None:
            raise UsageError("the flow starts by a webhook: give its events with --input FILE.jsonl (or - for stdin)")
        return None
    node = next((node for node in graph.nodes if node.id == arguments.step), None)
    if node is None:
        hint = did_you_mean(arguments.step, [node.id for node in graph.nodes])
        raise UsageError(f"--step: the flow has no step `{arguments.step}`" + (f"; {hint}" if hint else ""))
    if node.needs and arguments.input is None:
        raise UsageError(f"--step: `{node.id}` needs messages; give them with --input FILE.jsonl (or - for stdin)")
    if not node.needs and arguments.input is not None:
        raise UsageError(f"--input: `{node.id}` takes no messages, it starts the flow")
    return node


def _runtime(arguments: Namespace) -> RuntimeName:
    if arguments.runtime:
        return cast("RuntimeName", arguments.runtime)
    try:
        return runtime_name()
    except StepError as error:
        raise UsageError(str(error)) from None


def _print_last(graph: FlowGraph, values: dict[str, BatchValue], *, everything: bool) -> None:
    """Print the messages of the last step that made any: JSON Lines, so that another program can read them."""
    last = next((node.id for node in reversed(graph.in_order()) if node.id in values), None)
    if last is None:
        print("no step had anything to do", file=sys.stderr)
        return
    value = values[last]
    shown: Iterable[Message] = read_batch(value)
    what = f"step `{last}` made {count(value['count'], 'message')}"
    if not everything:
        shown = islice(shown, PREVIEW)
        if value["count"] > PREVIEW:
            what += f"; the first {PREVIEW} (--full prints all)"
    print(what + (":" if value["count"] else ""), file=sys.stderr, flush=True)
    for message in shown:
        _print_message(message, everything=everything)


def _print_message(message: Message, *, everything: bool) -> None:
    if not sys.stdout.isatty():
        print(json.dumps(message, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.json import JSON

    text = json.dumps(message, ensure_ascii=False, indent=2)
    if len(text) > _PREVIEW_CHARACTERS and not everything:
        print(f"{text[:_PREVIEW_CHARACTERS]}… ({len(text):,} characters)")
    else:
        Console().print(JSON(text))


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Make a SIGTERM end the run as Ctrl-C does: with the container and the temporary folder removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
