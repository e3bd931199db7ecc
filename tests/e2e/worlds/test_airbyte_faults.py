"""Airbyte flows in which something goes wrong: no record is lost, none is twice, and the error says what to do."""

from __future__ import annotations

import json
from collections import Counter

from harness import PATIENCE, wait_until
from world import World, scenario

IMAGES = ("airbyte", "own-airbyte")

TO_FILE = """
flowmate: 1
defaults: {retries: 2, retry_delay: 1s, max_retry_delay: 1s}
steps:
  - {id: read, use: airbyte-api/read, connection: $flow_api}
  - {id: stored, use: airbyte-sqlite/write, load: {mode: dedup}, with: {file: $flow.db}}
"""


def ids(world: World, file: str) -> Counter[int]:
    return Counter(row["id"] for row in world.stored(file))


@scenario
def test_a_run_whose_destination_fails_is_repeated_by_the_next_run(world: World):
    account = world.account("airbyte_repeat")
    account.add("items", range(1, 61))
    account.add("cities", range(1, 4))
    text = TO_FILE.replace("retries: 2", "retries: 0").replace("$flow.db}", '$flow.db, die_at: "{{ params.die_at }}"}')
    flow = world.flow(
        "airbyte_repeat", text.replace("defaults:", "params: {die_at: {type: integer, default: 0}}\ndefaults:")
    )
    flow.run()
    kept = world.kept_state(flow)
    account.add("items", range(61, 121), day=2)
    failed = flow.run("failed", die_at=30)
    assert failed.counts("read") == {"items": 61, "cities": 3}
    assert "the disk is full" in failed.log("stored")
    assert failed.state("read.state") == "upstream_failed"
    assert world.kept_state(flow) == kept
    assert flow.run().counts("read") == {"items": 61, "cities": 3}
    assert ids(world, "airbyte_repeat.db") == Counter(range(1, 121))
    assert world.kept_state(flow) != kept


@scenario
def test_an_api_that_answers_500_and_heals(world: World):
    account = world.account("airbyte_heals")
    account.add("items", range(1, 121))
    account.add("cities", range(1, 4))
    account.failures = 1
    run = world.flow("airbyte_heals", TO_FILE).run()
    assert run.tries("read") == 2
    assert "Internal server error" in run.log("read")
    assert ids(world, "airbyte_heals.db") == Counter(range(1, 121))


@scenario
def test_a_worker_killed_while_the_source_reads(world: World):
    account = world.account("airbyte_killed_source")
    account.add("items", range(1, 151))
    account.add("cities", range(1, 4))
    account.hold(page=2)
    run = world.flow("airbyte_killed_source", TO_FILE).start()
    assert account.waiting.wait(PATIENCE)
    run.kill_worker("read")
    account.release()
    run.end()
    assert run.tries("read") == 2
    assert run.counts("read") == {"items": 150, "cities": 3}
    assert ids(world, "airbyte_killed_source.db") == Counter(range(1, 151))


@scenario
def test_a_worker_killed_while_the_destination_writes(world: World):
    account = world.account("airbyte_killed_destination")
    account.add("items", range(1, 151))
    account.add("cities", range(1, 4))
    hold, waiting = (world.files / f"airbyte_killed_destination.db.{ending}" for ending in ("hold", "waiting"))
    hold.touch()
    run = world.flow("airbyte_killed_destination", TO_FILE.replace("$flow.db}", "$flow.db, hold_at: 90}")).start()
    wait_until("the destination to be in the middle", lambda: waiting.exists() or None)
    assert 0 < ids(world, "airbyte_killed_destination.db").total() < 150
    run.kill_worker("stored")
    hold.unlink()
    run.end()
    assert (run.tries("read"), run.tries("stored")) == (1, 2)
    assert ids(world, "airbyte_killed_destination.db") == Counter(range(1, 151))


@scenario
def test_a_destination_that_ends_too_early_fails_the_step(world: World):
    account = world.account("airbyte_early")
    account.add("items", range(1, 61))
    account.add("cities", range(1, 4))
    flow = world.flow(
        "airbyte_early",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: read, use: airbyte-api/read, connection: $flow_api}
  - {id: died, use: airbyte-sqlite/write, needs: [read], with: {file: died.db, die_at: 50}}
  - {id: quit, use: airbyte-sqlite/write, needs: [read], with: {file: quit.db, quit_at: 50}}
""",
    )
    run = flow.run("failed")
    assert "the disk is full" in run.failure("died")
    assert "did not confirm that these records are stored" in run.failure("quit")
    assert world.kept_state(flow) is None


@scenario
def test_what_a_step_selects_must_be_there(world: World):
    for name in ("airbyte_select_field", "airbyte_select_table"):
        world.account(name)
    field = TO_FILE.replace("read, connection", "read, select: {items: [nmae]}, connection")
    table = TO_FILE.replace("read, connection", "read, select: {itms: '*'}, connection")
    runs = [world.flow("airbyte_select_field", field).start(), world.flow("airbyte_select_table", table).start()]
    assert "has no field `nmae`; did you mean `name`" in runs[0].end("failed").failure("read")
    assert "there is no table `itms`; did you mean `items`" in runs[1].end("failed").failure("read")


@scenario
def test_wrong_credentials_are_not_tried_again(world: World):
    world.account("airbyte_bad_token", token="not-the-token").add("items", range(1, 11))
    run = world.flow("airbyte_bad_token", TO_FILE).run("failed")
    assert "401" in run.failure("read")
    assert "not-the-token" not in run.airflow.raw_logs(run.flow, run.id, "read")


@scenario
def test_a_catalog_and_a_state_that_no_longer_fit(world: World):
    account = world.account("airbyte_gone")
    account.add("items", range(1, 11))
    account.add("cities", range(1, 4))
    flow = world.flow("airbyte_gone", TO_FILE.replace("retries: 2", "retries: 0"))
    flow.run()
    del account.tables["cities"]
    gone = flow.run("failed")
    assert "cities" in gone.failure("read")
    account.add("cities", [1])
    strange = world.files / "strange.json"
    strange.write_text(json.dumps(["page 7"]))
    assert world.command("state", "set", flow.id, "read", str(strange))[0] == 0
    odd = flow.run("failed")
    assert "flowmate state" in odd.failure("read")
