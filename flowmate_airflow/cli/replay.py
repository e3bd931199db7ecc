"""`flowmate dead-letters replay`: a run of the flow for the messages that failed at a step."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from argparse import Namespace
from typing import Any, TypeAlias

from flowmate_airflow.cli.asking import place
from flowmate_airflow.cli.common import count
from flowmate_airflow.cli.deadletters import check_known
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.steps.steplog import clean
from flowmate_airflow.store import deadletters
from flowmate_airflow.store.deadletters import WAITING
from flowmate_airflow.store.store import Store, open_store

CONF_KEY = "flowmate_replay"
"""The key of a run's conf that makes it a replay: `{"step": …, "letters": ids, or null for all that wait}`."""
MAX_IDS = 1000
"""How many ids a run's conf may name: it is kept with the run, and shown."""


_Chosen: TypeAlias = dict[tuple[str, str], list[int] | None]
"""Ids of letters by step and tenant; None for all that wait."""


def replay(arguments: Namespace) -> int:
    """Start a run for each step and tenant, and print its id."""
    store = open_store()
    check_known(store, arguments.flow, arguments.step)
    chosen = _chosen(store, arguments) if arguments.id else _waiting(store, arguments)
    for (step, tenant), ids in chosen.items():
        conf: dict[str, Any] = {CONF_KEY: {"step": step, "letters": ids}}
        run_id = start_run(arguments.flow, {**conf, "tenant": tenant} if tenant else conf)
        what = "all that wait" if ids is None else count(len(ids), "dead letter")
        print(f"{place(arguments.flow, step, tenant)}: {what}, replayed by the run {run_id}")
    return 0


def _waiting(store: Store, arguments: Namespace) -> _Chosen:
    counts = deadletters.count_by_step(store, arguments.flow, arguments.step)
    steps = [(each.step, each.tenant) for each in counts if each.waiting]
    if not steps:
        busy = sum(each.replaying for each in counts)
        raise CommandError(f"no dead letter waits; being replayed: {busy:,}")
    return dict.fromkeys(steps)


def _chosen(store: Store, arguments: Namespace) -> _Chosen:
    ids = sorted(set(arguments.id))
    if len(ids) > MAX_IDS:
        raise UsageError(f"--id: at most {MAX_IDS:,} at once; without --id all that wait are replayed")
    steps: _Chosen = {}
    seen = set()
    for letter in deadletters.find(store, arguments.flow, arguments.step, ids=ids):
        seen.add(letter.id)
        if letter.status != WAITING:
            raise CommandError(f"the dead letter {letter.id} is being replayed by the run {letter.claimed_by}")
        key = (letter.step, letter.tenant)
        steps[key] = [*(steps.get(key) or []), letter.id]
    missing = [str(number) for number in ids if number not in seen]
    if missing:
        step = f" {arguments.step}" if arguments.step else ""
        raise UsageError(f"{arguments.flow}{step} has no dead letter {', '.join(missing)}")
    return steps


def start_run(flow: str, conf: dict[str, Any]) -> str:
    """Start a run by Airflow's own command, which has Airflow's rights and checks, and return its id.

    :raises CommandError: Airflow did not start it
    """
    command = [sys.executable, "-m", "airflow", "dags", "trigger", flow, "--conf", json.dumps(conf), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)  # noqa: S603
    if done.returncode:
        raise CommandError(f"Airflow did not start a run of `{flow}`: {_reason(done.stderr or done.stdout)}")
    return _run_id(done.stdout) or "(Airflow told no id)"


def _reason(output: str) -> str:
    """Return the last line of a command that failed: the exception, whose class says nothing more."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return re.sub(r"^(?:\w+\.)+\w+: ", "", clean(lines[-1])) if lines else "it told no reason"


def _run_id(output: str) -> str | None:
    """Return the id in what the command printed: a list with one run, perhaps after lines of the log."""
    decoder = json.JSONDecoder()
    for start, character in enumerate(output):
        if character == "[":
            try:
                value, _ = decoder.raw_decode(output, start)
            except ValueError:
                continue
            if isinstance(value, list) and value and isinstance(value[0], dict) and "dag_run_id" in value[0]:
                return str(value[0]["dag_run_id"])
    return None
