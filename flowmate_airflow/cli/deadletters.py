"""`flowmate dead-letters`: messages that failed, listed, shown, dropped and let go by a run that ended."""

from __future__ import annotations

import json
from argparse import Namespace
from datetime import timedelta
from typing import Any

from flowmate_airflow.cli.asking import confirm, indented, moment, place, plain
from flowmate_airflow.cli.common import count, print_json_list
from flowmate_airflow.cli.errors import UsageError
from flowmate_airflow.flows.durations import parse_duration
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.steps.steplog import clean
from flowmate_airflow.store import deadletters, replays
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.store import Store, open_store

_ERROR_CHARACTERS = 100


def list_letters(arguments: Namespace) -> int:
    """Print a line for each letter, and how many each step has."""
    if arguments.limit < 0:
        raise UsageError(f"--limit cannot be {arguments.limit}")
    store = open_store()
    check_known(store, arguments.flow, arguments.step, arguments.tenant)
    wanted = (arguments.flow, arguments.step, arguments.tenant, arguments.run_id)
    found = deadletters.find(store, *wanted, limit=arguments.limit or None)
    if arguments.format == "json":
        print_json_list(map(_facts, found))
        return 0
    shown = 0
    for letter in found:
        shown += 1
        print(_line(letter))
    _print_counts(store, arguments, shown)
    return 0


def show_letter(arguments: Namespace) -> int:
    """Print one letter with its whole message and error."""
    letter = next(deadletters.find(open_store(), ids=[arguments.id]), None)
    if letter is None:
        raise UsageError(f"there is no dead letter {arguments.id}; `flowmate dead-letters list` names them")
    if arguments.format == "json":
        print(json.dumps({**_facts(letter), "message": letter.message}, indent=2))
        return 0
    print(f"{letter.id}: {place(letter.flow, letter.step, letter.tenant)}, {_status(letter)}")
    print(f"kept {moment(letter.created_at)} in the run {letter.run_id}, {count(letter.attempts, 'attempt')}")
    print(f"message {clean(letter.message_id)} failed ({letter.failure_type}):")
    print(indented(letter.error))
    print(plain(json.dumps(letter.message, indent=2, ensure_ascii=False)))
    return 0


def drop_letters(arguments: Namespace) -> int:
    """Remove letters."""
    age = _age(arguments.older_than)
    if not any((arguments.flow, arguments.step, arguments.tenant, arguments.id, age)):
        raise UsageError("say which dead letters: FLOW, --step, --tenant, --id or --older-than")
    store = open_store()
    check_known(store, arguments.flow, arguments.step, arguments.tenant)
    wanted = (arguments.flow, arguments.step, arguments.tenant)
    old = f" older than {arguments.older_than}" if age else ""
    chosen = f"{count(len(arguments.id), 'dead letter')}" if arguments.id else "dead letters"
    where = f" of {' '.join(filter(None, wanted))}" if any(wanted) else ""
    confirm(f"Drop {chosen}{where}{old}? What they hold is lost.", yes=arguments.yes)
    removed = deadletters.drop(store, *wanted, ids=arguments.id, older_than=age)
    print(f"Dropped {count(removed, 'dead letter')}")
    return 0


def release_letters(arguments: Namespace) -> int:
    """Let the letters wait again that a run took for a replay and never settled."""
    released = replays.release(open_store(), arguments.run_id, arguments.flow)
    print(f"{count(released, 'dead letter')} can be replayed again")
    return 0


def check_known(store: Store, flow: str | None, step: str | None = None, tenant: str | None = None) -> None:
    """Check that what letters are asked for by is known.

    :raises UsageError: it is not; the error names what there is
    """
    counts = deadletters.count_by_step(store)
    for asked, what, known in (
        (flow, "flow", {each.flow for each in counts}),
        (step, "step", {each.step for each in counts if flow in (None, each.flow)}),
        (tenant, "tenant", {each.tenant for each in counts if flow in (None, each.flow)}),
    ):
        if asked is not None and asked not in known:
            names = known - {""}
            hint = did_you_mean(asked, names) or (f"{count(len(names), what)} with some" if names else "there are none")
            raise UsageError(f"there are no dead letters of the {what} `{asked}`; {hint}")


def _age(text: str | None) -> timedelta | None:
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from None


def _print_counts(store: Store, arguments: Namespace, shown: int) -> None:
    counts = deadletters.count_by_step(store, arguments.flow, arguments.step, arguments.tenant)
    if not counts:
        print("0 dead letters")
        return
    print()
    for each in counts:
        replaying = f", {each.replaying:,} being replayed" if each.replaying else ""
        name = place(each.flow, each.step, each.tenant)
        print(f"{name}: {each.waiting:,} waiting{replaying}, the oldest of {moment(each.oldest)}")
    total = sum(each.waiting + each.replaying for each in counts)
    if shown < total and arguments.run_id is None:
        print(f"{shown:,} of {total:,} are shown; --limit 0 shows all")


def _line(letter: DeadLetter) -> str:
    tried = f", {count(letter.attempts, 'attempt')}" if letter.attempts > 1 else ""
    status = "" if letter.claimed_by is None else f", replayed by {letter.claimed_by}"
    head = f"{letter.id}  {moment(letter.created_at)}  {place(letter.flow, letter.step, letter.tenant)}{tried}{status}"
    first = (letter.error.strip().splitlines() or [""])[0]
    return f"{head}  {letter.failure_type}: {clean(first, _ERROR_CHARACTERS)}"


def _status(letter: DeadLetter) -> str:
    return letter.status if letter.claimed_by is None else f"being replayed by the run {letter.claimed_by}"


def _facts(letter: DeadLetter) -> dict[str, Any]:
    names = ("id", "flow", "step", "tenant", "run_id", "message_id", "error", "failure_type", "attempts", "status")
    facts = {name: getattr(letter, name) for name in names}
    return {**facts, "claimed_by": letter.claimed_by, "created_at": letter.created_at.isoformat()}
