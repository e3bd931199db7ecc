"""`flowmate dead-letters`: listed, shown, replayed and dropped."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Flowmate

from flowmate_airflow.store import deadletters, replays
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store, close_stores, open_store

AIRFLOW = """\
#!{python}
# Stands in for Python where it is asked to run Airflow's command: it notes how, and answers.
import json, sys
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
{answer}
"""
STARTED = (
    """print('[2026-01-01] a [line] of the log\\n[{"dag_id": "orders", "dag_run_id": "manual__1", "conf": {}}]')"""
)
FAILED = """print("a warning\\nairflow.exceptions.DagNotFound: Dag id orders not found in DagModel", file=sys.stderr)
sys.exit(1)"""


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """The store in Airflow's home."""
    yield open_store()
    close_stores()


@pytest.fixture
def airflow(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[], list[list[str]]]]:
    """Lets Airflow's command answer in a way; gives what returns the arguments of its calls."""

    def answers(answer: str) -> Callable[[], list[list[str]]]:
        calls = home / "calls.jsonl"
        program = home / "python"
        program.write_text(AIRFLOW.format(python=sys.executable, calls=str(calls), answer=answer))
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return lambda: [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []

    return answers


def letter(number: int, **values: Any) -> DeadLetter:
    given = {"flow": "orders", "step": "saved", "run_id": "run1", "error": f"error {number}", **values}
    return DeadLetter(message_id=f"m{number}", message={"id": f"m{number}", "data": {"n": number}}, **given)


def ids(store: Store, **wanted: Any) -> list[int]:
    return [found.id for found in deadletters.find(store, **wanted)]


def confs(calls: list[list[str]]) -> list[Any]:
    return [json.loads(call[call.index("--conf") + 1])["flowmate_replay"] for call in calls]


def test_letters_are_listed_and_counted(flowmate: Flowmate, store: Store) -> None:
    deadletters.keep(store, [letter(1, error="bad\x1b[31m\nmore"), letter(2, step="told", tenant="acme")])
    replays.claim(store, ids(store)[:1], "replay1")
    result = flowmate("dead-letters", "list")
    assert result.code == 0
    first, second, _, *counts = result.out.splitlines()
    assert "orders saved, replayed by replay1  system: bad\\x1b[31m" in first
    assert "orders told (tenant acme)  system: error 2" in second
    assert "more" not in result.out
    assert counts[0].startswith("orders saved: 0 waiting, 1 being replayed, the oldest of ")
    assert counts[1].startswith("orders told (tenant acme): 1 waiting, the oldest of ")


def test_a_long_list_is_cut_and_says_so(flowmate: Flowmate, store: Store) -> None:
    deadletters.keep(store, map(letter, range(60)))
    result = flowmate("dead-letters", "list")
    assert "50 of 60 are shown; --limit 0 shows all" in result.out
    result = flowmate("dead-letters", "list", "--limit", "0")
    assert "error 59" in result.out
    assert "are shown" not in result.out


def test_letters_for_programs(flowmate: Flowmate, store: Store) -> None:
    deadletters.keep(store, [letter(1), letter(2, run_id="run2")])
    listed = json.loads(flowmate("dead-letters", "list", "--format", "json").out)
    assert [(each["message_id"], each["status"], "message" in each) for each in listed] == [
        ("m1", "waiting", False),
        ("m2", "waiting", False),
    ]
    listed = json.loads(flowmate("dead-letters", "list", "orders", "--run-id", "run2", "--format", "json").out)
    assert [each["message_id"] for each in listed] == ["m2"]


def test_one_letter_is_shown_whole(flowmate: Flowmate, store: Store) -> None:
    message = {"id": "m1", "data": {"text": "ü\x1b[31m\u202e", "long": "x" * 100_000}}
    error = "first\x1b[31m\n" + "y" * 10_000
    deadletters.keep(store, [DeadLetter("orders", "saved", "run1", "m1", message, error, tenant="acme")])
    (number,) = ids(store)
    result = flowmate("dead-letters", "show", str(number))
    assert result.code == 0
    for part in ("orders saved (tenant acme), waiting", "run1", "x" * 100_000, "y" * 10_000, "ü\\u001b[31m\\u202e"):
        assert part in result.out
    assert "\x1b" not in result.out
    assert json.loads(flowmate("dead-letters", "show", str(number), "--format", "json").out)["message"] == message


def test_without_any_letter(flowmate: Flowmate, store: Store) -> None:
    assert flowmate("dead-letters", "list").out == "0 dead letters\n"
    assert flowmate("dead-letters", "list", "--format", "json").out == "[]\n"
    result = flowmate("dead-letters", "replay", "orders")
    assert (result.code, result.err) == (2, "there are no dead letters of the flow `orders`; there are none\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "ordrs"], "there are no dead letters of the flow `ordrs`; did you mean `orders`?"),
        (["list", "--limit", "-1"], "--limit cannot be -1"),
        (["list", "orders", "--step", "savd"], "of the step `savd`; did you mean `saved`?"),
        (["replay", "orders", "--step", "savd"], "of the step `savd`; did you mean `saved`?"),
        (["drop", "ordrs", "--yes"], "of the flow `ordrs`; did you mean `orders`?"),
        (["drop", "--yes"], "say which dead letters"),
        (["drop", "--older-than", "30x", "--yes"], "--older-than: "),
        (["drop", "orders"], "Drop dead letters of orders? What they hold is lost. Add --yes"),
        (["show", "99"], "there is no dead letter 99"),
        (["replay", "orders", "--id", "1", "99"], "orders has no dead letter 99"),
        (["replay", "orders", "--id", *map(str, range(1001))], "--id: at most 1,000 at once"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_changes_nothing(
    flowmate: Flowmate, store: Store, arguments: list[str], told: str, airflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = airflow(STARTED)
    deadletters.keep(store, [letter(1)])
    with Path("/dev/null").open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        result = flowmate("dead-letters", *arguments)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert len(result.err.splitlines()) == 1
    assert len(ids(store)) == 1
    assert calls() == []


def test_a_replay_is_a_run_for_each_step_with_letters_that_wait(flowmate: Flowmate, store: Store, airflow: Any) -> None:
    deadletters.keep(store, [letter(1), letter(2, step="told"), letter(3, step="busy"), letter(4, flow="invoices")])
    replays.claim(store, ids(store, step="busy"), "replay1")
    calls = airflow(STARTED)
    result = flowmate("dead-letters", "replay", "orders")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "orders saved: all that wait, replayed by the run manual__1",
        "orders told: all that wait, replayed by the run manual__1",
    ]
    assert confs(calls()) == [{"step": "saved", "letters": None}, {"step": "told", "letters": None}]
    assert calls()[0][:5] == ["-m", "airflow", "dags", "trigger", "orders"]
    assert len(ids(store)) == 4


def test_a_replay_of_chosen_letters(flowmate: Flowmate, store: Store, airflow: Any) -> None:
    deadletters.keep(store, [letter(1), letter(2, step="told"), letter(3), letter(4)])
    one, two, three, _ = ids(store)
    calls = airflow(STARTED)
    assert flowmate("dead-letters", "replay", "orders", "--id", str(three), str(one), "--id", str(two)).code == 0
    assert confs(calls()) == [{"step": "saved", "letters": [one, three]}, {"step": "told", "letters": [two]}]


def test_each_tenant_has_a_replay_of_its_own(flowmate: Flowmate, store: Store, airflow: Any) -> None:
    deadletters.keep(store, [letter(1), letter(2, tenant="acme"), letter(3, tenant="acme")])
    calls = airflow(STARTED)
    for arguments in ([], ["--id", *map(str, ids(store))]):
        result = flowmate("dead-letters", "replay", "orders", *arguments)
        assert [line.partition(":")[0] for line in result.out.splitlines()] == [
            "orders saved",
            "orders saved (tenant acme)",
        ]
    tenants = [json.loads(call[call.index("--conf") + 1]).get("tenant") for call in calls()]
    assert tenants == [None, "acme"] * 2
    one, two, three = ids(store)
    assert [each["letters"] for each in confs(calls())] == [None, None, [one], [two, three]]


def test_what_is_being_replayed_is_not_replayed_again(flowmate: Flowmate, store: Store, airflow: Any) -> None:
    deadletters.keep(store, [letter(1)])
    replays.claim(store, ids(store), "replay1")
    calls = airflow(STARTED)
    result = flowmate("dead-letters", "replay", "orders", "--id", str(ids(store)[0]))
    assert result.code == 1
    assert "is being replayed by the run replay1" in result.err
    result = flowmate("dead-letters", "replay", "orders")
    assert (result.code, result.err) == (1, "no dead letter waits; being replayed: 1\n")
    assert calls() == []


def test_airflows_reason_is_told_when_it_starts_no_run(flowmate: Flowmate, store: Store, airflow: Any) -> None:
    deadletters.keep(store, [letter(1)])
    airflow(FAILED)
    result = flowmate("dead-letters", "replay", "orders")
    assert (result.code, result.out) == (1, "")
    assert result.err == "Airflow did not start a run of `orders`: Dag id orders not found in DagModel\n"


def test_what_a_killed_replay_took_is_released(flowmate: Flowmate, store: Store) -> None:
    deadletters.keep(store, [letter(1), letter(2)])
    replays.claim(store, ids(store), "replay1")
    result = flowmate("dead-letters", "release", "replay1", "--flow", "orders")
    assert (result.code, result.out) == (0, "2 dead letters can be replayed again\n")
    assert len(ids(store, status=deadletters.WAITING)) == 2


def test_letters_are_dropped(flowmate: Flowmate, store: Store) -> None:
    old = now() - timedelta(days=31)
    deadletters.keep(store, [letter(1), letter(2, created_at=old), letter(3, step="told"), letter(4), letter(5)])
    assert flowmate("dead-letters", "drop", "--older-than", "30d", "--yes").out == "Dropped 1 dead letter\n"
    assert flowmate("dead-letters", "drop", "orders", "--step", "told", "--yes").out == "Dropped 1 dead letter\n"
    first = ids(store)[0]
    assert flowmate("dead-letters", "drop", "--id", str(first), "--yes").out == "Dropped 1 dead letter\n"
    replays.claim(store, ids(store)[:1], "replay1")
    assert flowmate("dead-letters", "drop", "orders", "--yes").out == "Dropped 1 dead letter\n"
    assert len(ids(store)) == 1
