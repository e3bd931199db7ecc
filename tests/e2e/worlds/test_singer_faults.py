"""Singer flows in which something goes wrong: no record is lost, none is twice, and the error says what to do."""

from __future__ import annotations

import json

from harness import PATIENCE, wait_until
from world import World, scenario

IMAGES = ("tap-rest", "target-postgres", "own")

TO_WAREHOUSE = """
flowmate: 1
defaults: {retries: 2, retry_delay: 1s, max_retry_delay: 1s}
steps:
  - {id: read, use: tap-rest/read, connection: $flow_api}
  - id: stored
    use: target-postgres/write
    connection: warehouse
    with: {default_target_schema: $flow, batch_size_rows: 20}
"""
HABITS = """
flowmate: 1
params: {how: {type: string}}
defaults: {retries: 2, retry_delay: 1s, max_retry_delay: 1s}
steps:
  - {id: read, use: tap-own/read, with: {how: "{{ params.how }}"}}
"""


@scenario
def test_a_run_whose_target_fails_is_repeated_by_the_next_run(world: World):
    account = world.account("singer_repeat")
    account.add("items", range(1, 61))
    account.add("cities", range(1, 4))
    flow = world.flow("singer_repeat", TO_WAREHOUSE.replace("retries: 2", "retries: 0"))
    flow.run()
    kept = world.kept_state(flow)
    account.add("items", range(61, 121), day=2)
    refused = world.warehouse.refuse_record("singer_repeat.items", 100)
    failed = flow.run("failed")
    assert failed.counts("read") == {"items": 61, "cities": 3}
    assert "record 100 is refused" in failed.log("stored")
    assert failed.state("read.state") == "upstream_failed"
    assert world.kept_state(flow) == kept
    refused.lift()
    again = flow.run()
    assert again.counts("read") == {"items": 61, "cities": 3}
    assert world.warehouse.count("singer_repeat.items") == (120, 120)
    assert world.kept_state(flow) != kept


@scenario
def test_an_api_that_answers_500_and_heals(world: World):
    account = world.account("singer_heals")
    account.add("items", range(1, 121))
    account.add("cities", range(1, 4))
    account.failures = 1
    run = world.flow("singer_heals", TO_WAREHOUSE).run()
    assert run.tries("read") == 2
    assert "out of order" in run.log("read")
    assert world.warehouse.count("singer_heals.items") == (120, 120)


@scenario
def test_a_worker_killed_while_the_tap_reads(world: World):
    account = world.account("singer_killed_tap")
    account.add("items", range(1, 151))
    account.add("cities", range(1, 4))
    account.hold(page=2)
    run = world.flow("singer_killed_tap", TO_WAREHOUSE).start()
    assert account.waiting.wait(PATIENCE)
    run.kill_worker("read")
    account.release()
    run.end()
    assert run.tries("read") == 2
    assert run.counts("read") == {"items": 150, "cities": 3}
    assert world.warehouse.count("singer_killed_tap.items") == (150, 150)


@scenario
def test_a_worker_killed_while_the_target_writes(world: World):
    account = world.account("singer_killed_target")
    account.add("items", range(1, 11))
    account.add("cities", range(1, 4))
    flow = world.flow("singer_killed_target", TO_WAREHOUSE)
    flow.run()
    account.add("items", range(11, 151), day=2)
    held = world.warehouse.hold_record("singer_killed_target.items", 100)
    run = flow.start()
    wait_until("the target to be in the middle", held.waits)
    assert 10 < world.warehouse.count("singer_killed_target.items")[0] < 150
    run.kill_worker("stored")
    held.release()
    run.end()
    assert (run.tries("read"), run.tries("stored")) == (1, 2)
    assert world.warehouse.count("singer_killed_target.items") == (150, 150)


@scenario
def test_a_target_that_dies_in_the_middle_is_tried_again(world: World):
    account = world.account("singer_dies")
    account.add("items", range(1, 11))
    account.add("cities", range(1, 4))
    flow = world.flow("singer_dies", TO_WAREHOUSE)
    flow.run()
    account.add("items", range(11, 151), day=2)
    held = world.warehouse.hold_record("singer_dies.items", 100)
    run = flow.start()
    wait_until("the target to be in the middle", held.waits)
    held.cut()  # the database ends the target's connection
    held.release()
    run.end()
    assert run.tries("stored") == 2
    assert world.warehouse.count("singer_dies.items") == (150, 150)


@scenario
def test_a_target_that_ends_too_early_fails_the_step(world: World):
    account = world.account("singer_early")
    account.add("items", range(1, 121), filler="x" * 20_000)  # more than lies in buffers on the way
    account.add("cities", range(1, 4))
    flow = world.flow(
        "singer_early",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: read, use: tap-rest/read, connection: $flow_api}
  - {id: died, use: target-own/write, needs: [read], with: {file: died.jsonl, die_after: 50}}
  - {id: quit, use: target-own/write, needs: [read], with: {file: quit.jsonl, quit_after: 50}}
""",
    )
    run = flow.run("failed")
    assert "the disk is full" in run.failure("died")
    assert "had not read all of its input" in run.failure("quit")
    assert world.kept_state(flow) is None


@scenario
def test_what_a_step_selects_must_be_there(world: World):
    world.account("singer_select_field").add("items", range(1, 11))
    world.account("singer_select_table").add("items", range(1, 11))
    for account in ("singer_select_field", "singer_select_table"):
        world.api.account(account).add("cities", [1])
    field = TO_WAREHOUSE.replace("read, connection", "read, select: {items: [nmae]}, connection")
    table = TO_WAREHOUSE.replace("read, connection", "read, select: {itms: '*'}, connection")
    runs = [world.flow("singer_select_field", field).start(), world.flow("singer_select_table", table).start()]
    assert "has no field `nmae`; did you mean `name`" in runs[0].end("failed").failure("read")
    assert "there is no table `itms`; did you mean `items`" in runs[1].end("failed").failure("read")


@scenario
def test_wrong_credentials_are_not_tried_again(world: World):
    for name, token in (("singer_bad_token", "not-the-token"), ("singer_bad_password", None)):
        account = world.account(name, **({"token": token} if token else {}))
        account.add("items", range(1, 11))
        account.add("cities", [1])
    world.airflow().add_connection("warehouse_wrong", **{**world.warehouse.connection, "password": "wr0ng-passw0rd"})
    wrong = TO_WAREHOUSE.replace("connection: warehouse", "connection: warehouse_wrong")
    tap, target = (
        world.flow("singer_bad_token", TO_WAREHOUSE).start(),
        world.flow("singer_bad_password", wrong).start(),
    )
    assert "invalid token" in tap.end("failed").failure("read")
    assert "password authentication failed" in target.end("failed").failure("stored")
    assert "wr0ng-passw0rd" not in target.airflow.raw_logs(target.flow, target.id, "stored")


@scenario
def test_a_record_that_breaks_its_schema_is_named(world: World):
    misfit = HABITS.replace("{{ params.how }}", "misfit") + (
        "  - {id: stored, use: target-postgres/write, connection: warehouse, with: {default_target_schema: $flow}}\n"
    )
    run = world.flow("singer_misfit", misfit).run("failed", how="misfit")
    assert "`amount` is of the type string, but its stream `items` declares it as number" in run.failure("stored")


@scenario
def test_a_stream_that_nobody_declared_is_stored(world: World):
    text = (
        HABITS.replace("tap-own/", "tap-own-blind/")
        + "  - {id: stored, use: target-postgres/write, connection: warehouse, with: {default_target_schema: $flow}}\n"
    )
    run = world.flow("singer_undeclared", text).run(how="undeclared")
    assert "records of the stream `surprise` without its SCHEMA" in run.log("read")
    assert world.warehouse.rows("SELECT count(*), count(DISTINCT what) FROM singer_undeclared.surprise") == [(10, 10)]


@scenario
def test_a_tap_with_habits(world: World):
    flow = world.flow("singer_habits", HABITS)
    runs = {how: flow.start({"how": how}) for how in ("chatter", "broad", "not_a_number", "too_large", "gone")}
    chatter = runs["chatter"].end()
    assert chatter.counts("read") == {"items": 20}
    assert "read 100 %" in chatter.log("read")
    broad = runs["broad"].end().value("read")
    assert (broad["count"], len(json.dumps(broad)) < 100_000) == (1, True)
    for how, said in (("not_a_number", "NaN"), ("too_large", "1e400")):
        failure = runs[how].end("failed").failure("read")
        assert said in failure
        assert "`amount`" in failure
    gone = runs["gone"].end("failed")
    assert "no stream items" in gone.log("read", gone.tries("read"))
