"""Messages that fail: kept, shown, replayed, and what succeeded never sent twice."""

from __future__ import annotations

import re

from oih_stage import Stage, at_once


@at_once
def test_what_failed_is_kept_and_replayed_until_it_succeeds(stage: Stage) -> None:
    web = stage.space("letters", 1, 2, 3, 4, 5)
    web.fail("/orders/p2", 400)
    web.fail("/orders/p4", 400)
    web.fail("/ledger/p5", 422)
    flow = stage.flow(
        "oih_letters",
        f"""
defaults: {{retries: 0}}
steps:
  - {{id: read, use: contacts/getPersons, with: {{server: "{web.url}"}}}}
  - {{id: saved, use: shop/save, on_error: dead_letter, with: {{server: "{web.url}"}}}}
  - {{id: booked, use: ledger/book, on_error: dead_letter, with: {{server: "{web.url}"}}}}
  - {{id: kept, use: archive/keep, with: {{server: "{web.url}"}}}}
""",
    )
    run, state = stage.run(flow)
    assert state == "success"
    found = {step: stage.airflow.xcom(flow, run, step) for step in ("saved", "booked", "kept")}
    assert {step: (value["count"], value["errors"]) for step, value in found.items()} == {
        "saved": (3, 2),
        "booked": (2, 1),
        "kept": (2, 0),
    }
    letters = {letter["step"] + str(letter["id"]): letter for letter in stage.letters(flow)}
    assert sorted(letter["step"] for letter in letters.values()) == ["booked", "saved", "saved"]
    booked = next(letter for letter in letters.values() if letter["step"] == "booked")
    shown = stage.flowmate("dead-letters", "show", str(booked["id"]))
    assert "the ledger answered 422: " in shown
    assert '"id": "p5"' in shown
    assert stage.states(flow) == {"read": {"lastUpdated": 5}}  # letters are kept: nothing must be read again

    web.failing.pop("/orders/p2")
    web.fail("/archive/p2", 500)
    (run,) = _replay(stage, flow, "--step", "saved")
    assert stage.airflow.wait_for_run(flow, run) == "failed"
    assert stage.airflow.xcom(flow, run, "read")["count"] == 0
    assert stage.airflow.xcom(flow, run, "saved")["count"] == 1
    left = [letter for letter in stage.letters(flow) if letter["step"] == "saved"]
    again = [(letter["attempts"], letter["status"]) for letter in left]
    # One failed again, and what a step after it could not deal with is not lost: the run still has it.
    assert again == [(1, "replaying"), (2, "waiting")]
    assert "1 dead letter can be replayed again" in stage.flowmate("dead-letters", "release", run, "--flow", flow)

    web.heal()
    for run in _replay(stage, flow):
        assert stage.airflow.wait_for_run(flow, run) == "success"
    assert stage.letters(flow) == []
    assert web.since() == ["0"]
    assert stage.states(flow) == {"read": {"lastUpdated": 5}}
    everything = {f"p{number}": {"id": f"p{number}", "number": number, "updated": number} for number in range(1, 6)}
    assert web.tables == {"orders": everything, "ledger": everything, "archive": everything}
    asked = web.counts("PUT")
    assert [asked[f"/orders/p{number}"] for number in range(1, 6)] == [1, 3, 1, 3, 1]
    assert [asked[f"/ledger/p{number}"] for number in range(1, 6)] == [1, 2, 1, 1, 2]
    assert [asked[f"/archive/p{number}"] for number in range(1, 6)] == [1, 2, 1, 1, 1]


@at_once
def test_batches_run_side_by_side_and_their_dead_letters_are_replayed_in_batches(stage: Stage) -> None:
    web = stage.space("batches", *range(1, 201))
    web.fail("/orders/p7", 400)
    web.fail("/orders/p133", 400)
    web.meet(3)
    flow = stage.flow(
        "oih_batches",
        f"""
defaults: {{retries: 0}}
steps:
  - {{id: read, use: contacts/getPersons, with: {{server: "{web.url}"}}}}
  - id: saved
    use: shop/save
    on_error: dead_letter
    batch: {{size: 50, parallel: 3}}
    with: {{server: "{web.url}"}}
  - {{id: booked, use: ledger/book, with: {{server: "{web.url}"}}}}
""",
    )
    run, state = stage.run(flow)
    assert state == "success"
    assert web.meeting is None
    assert web.peak == 3
    assert len(stage.airflow.xcom(flow, run, "saved.batches")) == 4
    value = stage.airflow.xcom(flow, run, "booked")
    assert value["count"] == 198
    assert len(stage.letters(flow)) == 2

    web.heal()
    run, state = stage.run(flow, {"flowmate_replay": {"step": "saved", "letters": None}})
    assert state == "success"
    assert stage.airflow.xcom(flow, run, "booked")["count"] == 2
    assert stage.letters(flow) == []
    assert len(web.tables["orders"]) == len(web.tables["ledger"]) == 200
    asked = web.counts("PUT")
    assert {path for path, count in asked.items() if count != 1} == {"/orders/p7", "/orders/p133"}


@at_once
def test_a_retry_repeats_only_what_failed(stage: Stage) -> None:
    web = stage.space("retry", 1, 2, 3, 4, 5)
    web.fail("/orders/p3", 500, times=1)
    web.fail("/ledger/p4", 500, times=1)
    flow = stage.flow(
        "oih_retry",
        f"""
defaults: {{retries: 1, retry_delay: 1s}}
steps:
  - {{id: read, use: contacts/getPersons, with: {{server: "{web.url}"}}}}
  - {{id: saved, use: shop/save, with: {{server: "{web.url}"}}}}
  - {{id: booked, use: ledger/book, with: {{server: "{web.url}"}}}}
""",
    )
    run, state = stage.run(flow)
    assert state == "success"
    tasks = stage.airflow.task_instances(flow, run)
    assert [tasks[step]["try_number"] for step in ("read", "saved", "booked")] == [1, 2, 2]
    asked = web.counts("PUT")
    assert [asked[f"/orders/p{number}"] for number in range(1, 6)] == [1, 1, 2, 1, 1]
    assert [asked[f"/ledger/p{number}"] for number in range(1, 6)] == [1, 1, 1, 2, 1]
    for step in ("saved", "booked"):
        ids = [message["data"]["id"] for message in stage.airflow.xcom(flow, run, step)["messages"]]
        assert ids == ["p1", "p2", "p3", "p4", "p5"]
    assert "2 messages were done by an earlier try" in stage.airflow.logs(flow, run, "saved", 2)


@at_once
def test_dead_letters_of_a_streamed_pair_are_those_of_its_second_step(stage: Stage) -> None:
    web = stage.space("pair-letters", 1, 2, 3)
    web.fail("/orders/p2", 400)
    flow = stage.flow(
        "oih_pair_letters",
        f"""
defaults: {{retries: 0}}
steps:
  - {{id: read, use: archive/getEntries, with: {{server: "{web.url}"}}}}
  - {{id: saved, use: shop/save, stream: true, on_error: dead_letter, with: {{server: "{web.url}"}}}}
""",
    )
    run, state = stage.run(flow)
    assert state == "success"
    assert stage.airflow.xcom(flow, run, "saved")["errors"] == 1
    (letter,) = stage.letters(flow)
    assert (letter["step"], "no luck with /orders/p2" in letter["error"]) == ("saved", True)
    web.heal()
    _, state = stage.run(flow, {"flowmate_replay": {"step": "saved", "letters": [letter["id"]]}})
    assert state == "success"
    assert stage.letters(flow) == []
    assert web.since() == ["0"]
    assert stage.states(flow) == {"read": {"since": 3}}
    assert web.counts("PUT") == {"/orders/p1": 1, "/orders/p2": 2, "/orders/p3": 1}


def _replay(stage: Stage, flow: str, *arguments: str) -> list[str]:
    """Replay by the command line and return the ids of the runs that do it."""
    printed = stage.flowmate("dead-letters", "replay", flow, *arguments)
    found = re.findall(r"replayed by the run (\S+)", printed)
    assert found, printed
    return found
