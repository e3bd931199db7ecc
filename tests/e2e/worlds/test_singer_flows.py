"""Flows of real Singer taps and targets: every record arrives, and a run reads only what is new."""

from __future__ import annotations

import csv
import json

from harness import PATIENCE, docker
from world import World, scenario

IMAGES = ("tap-rest", "target-postgres", "tap-spreadsheets", "target-csv", "target-jsonl", "target-duckdb", "own")

TO_WAREHOUSE = """
flowmate: 1
defaults: {retries: 2, retry_delay: 1s, max_retry_delay: 1s}
steps:
  - {id: read, use: tap-rest/read, connection: $flow_api}
  - {id: stored, use: target-postgres/write, connection: warehouse, with: {default_target_schema: $flow}}
"""


@scenario
def test_a_run_reads_only_what_is_new_unless_its_params_say_otherwise(world: World):
    account = world.account("singer_incremental")
    account.add("items", range(1, 121))
    account.add("cities", range(1, 4))
    flow = world.flow("singer_incremental", TO_WAREHOUSE)
    assert flow.run().counts("read") == {"items": 120, "cities": 3}
    assert world.warehouse.count("singer_incremental.items") == (120, 120)
    first = world.kept_state(flow)
    assert first["bookmarks"]["items"]["replication_key_value"] == account.tables["items"][-1]["updated_at"]

    account.add("items", range(121, 131), day=2)
    account.add("items", [5], day=2, name="changed")
    account.asked.clear()
    # The one at the bookmark comes again: it may have had siblings of the same second.
    assert flow.run().counts("read") == {"items": 12, "cities": 3}
    assert {query.get("since") for table, query in account.asked if table == "items"} >= {"2026-01-01T00:02:00Z"}
    assert world.warehouse.count("singer_incremental.items") == (130, 130)
    assert world.warehouse.rows("SELECT name FROM singer_incremental.items WHERE id = 5") == [("changed",)]
    second = world.kept_state(flow)
    assert second != first

    assert flow.run(start_date="2026-01-02T00:02:05Z").counts("read")["items"] == 6  # out of turn
    assert world.kept_state(flow) == second
    assert flow.run(full_sync=True).counts("read") == {"items": 130, "cities": 3}
    assert world.kept_state(flow) == second
    assert world.warehouse.count("singer_incremental.items") == (130, 130)


@scenario
def test_files_go_into_three_targets_at_once(world: World):
    orders = world.files / "orders"
    orders.mkdir()
    (orders / "a.csv").write_text("id,total\n" + "".join(f"{n},{n}.5\n" for n in range(1, 101)))
    flow = world.flow(
        "singer_files",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - id: read
    use: tap-spreadsheets/read
    with:
      files:
        - {path: /data/orders/*.csv, format: csv, table_name: orders, primary_keys: [id]}
  - {id: csv, use: target-csv/write, needs: [read], with: {output_path: /data/csv}}
  - {id: jsonl, use: target-jsonl/write, needs: [read], with: {destination_path: /data/jsonl}}
  # target-duckdb takes a first row of nothing but texts for the head of a table, and leaves it out.
  - {id: numbers, needs: [read], map: '{"id": $number(data.id), "total": $number(data.total)}'}
  - {id: duck, use: target-duckdb/write, load: {table: orders, key: [id]}, with: {filepath: /data/orders.duckdb}}
""",
    )
    assert flow.run().counts("read") == {"orders": 100}
    with (world.files / "csv" / "orders.csv").open() as file:
        assert sorted(int(row["id"]) for row in csv.DictReader(file)) == list(range(1, 101))
    (orders / "b.csv").write_text("id,total\n101,101.5\n102,102.5\n")
    assert flow.run().counts("read") == {"orders": 2}
    lines = (world.files / "jsonl" / "orders.jsonl").read_text().splitlines()
    assert sorted(int(json.loads(line)["id"]) for line in lines) == list(range(1, 103))
    query = "select count(*), count(distinct id), sum(total)::int from orders"
    look = f"import duckdb; print(*duckdb.connect('/data/orders.duckdb').sql('{query}').fetchall())"
    mount = f"{world.files}:/data"
    printed = docker("run", "--rm", "-v", mount, "--entrypoint", "python3", "flowmate-test/target-duckdb:1", "-c", look)
    assert printed.strip() == "(102, 102, 5304)"


@scenario
def test_tables_and_fields_that_are_off_never_arrive(world: World):
    account = world.account("singer_select")
    account.add("items", range(1, 61))
    account.add("cities", range(1, 4))
    flow = world.flow(
        "singer_select", TO_WAREHOUSE.replace("read, connection", "read, select: {items: [name]}, connection")
    )
    assert flow.run().counts("read") == {"items": 60}
    columns = world.warehouse.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'singer_select'"
    )
    assert {column for (column,) in columns} == {"id", "name", "updated_at"}  # the key and the cursor stay on


@scenario
def test_a_streamed_pair_keeps_its_state_and_survives_a_kill(world: World):
    account = world.account("singer_pair")
    account.add("items", range(1, 201))
    account.add("cities", range(1, 4))
    account.hold(page=3)
    flow = world.flow("singer_pair", TO_WAREHOUSE.replace("id: stored", "id: stored, stream: true"))
    run = flow.start()
    assert account.waiting.wait(PATIENCE)
    run.kill_worker("stored")
    account.release()
    run.end()
    assert run.tries("stored") == 2
    assert "which an earlier try left" in run.log("stored", 2)
    assert "203 messages in (cities 3, items 200)" in run.log("stored", 2)
    assert world.warehouse.count("singer_pair.items") == (200, 200)
    bookmark = world.kept_state(flow)["bookmarks"]["items"]["replication_key_value"]
    assert bookmark == account.tables["items"][-1]["updated_at"]
    account.add("items", range(201, 206), day=2)
    assert "9 messages in (cities 3, items 6)" in flow.run().log("stored")
    assert world.warehouse.count("singer_pair.items") == (205, 205)


@scenario
def test_a_batch_is_cut_for_several_targets_at_once(world: World):
    account = world.account("singer_batch")
    account.add("items", range(1, 151))
    account.add("cities", range(1, 4))
    flow = world.flow("singer_batch", TO_WAREHOUSE.replace("id: stored", "id: stored, batch: {size: 60, parallel: 2}"))
    run = flow.run()
    instances = run.airflow.get(f"dags/{flow.id}/dagRuns/{run.id}/taskInstances")["task_instances"]
    assert [task["state"] for task in instances if task["task_id"] == "stored"] == ["success"] * 3
    assert world.warehouse.count("singer_batch.items") == (150, 150)
    assert world.warehouse.count("singer_batch.cities") == (3, 3)
    assert world.kept_state(flow) is not None


@scenario
def test_a_rotated_token_is_used_by_the_next_run_and_outlives_a_failed_one(world: World):
    account = world.account("singer_token", refresh_token="refresh-token-0")
    account.add("items", range(1, 11))
    flow = world.flow(
        "singer_token",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: read, use: tap-own/read, connection: $flow_api, with: {how: rotate}}
""",
    )
    assert flow.run().counts("read") == {"items": 10}
    assert account.rotations == 1
    account.failures = 1
    failed = flow.run("failed")
    assert "500 Server Error" in failed.log("read")
    assert account.rotations == 2  # the token that the failed run got
    again = flow.run()
    assert again.counts("read") == {"items": 10}
    assert account.rotations == 3
    for run in (failed, again):
        assert "refresh-token-" not in run.airflow.raw_logs(flow.id, run.id, "read")
