"""Flows of Airbyte sources and destinations, alone and mixed with Singer: every record arrives, none is read twice."""

from __future__ import annotations

from collections import Counter

from harness import PATIENCE
from world import World, scenario

IMAGES = ("airbyte", "own-airbyte", "tap-rest", "target-postgres")

TO_FILE = """
flowmate: 1
defaults: {retries: 2, retry_delay: 1s, max_retry_delay: 1s}
steps:
  - {id: read, use: airbyte-api/read, connection: $flow_api}
  - {id: stored, use: airbyte-sqlite/write, load: {mode: dedup}, with: {file: $flow.db}}
"""


@scenario
def test_a_run_reads_only_what_is_new_unless_its_params_say_otherwise(world: World):
    account = world.account("airbyte_incremental")
    account.add("items", range(1, 121))
    account.add("cities", range(1, 4))
    flow = world.flow("airbyte_incremental", TO_FILE)
    assert flow.run().counts("read") == {"items": 120, "cities": 3}
    assert {row["id"] for row in world.stored("airbyte_incremental.db")} == set(range(1, 121))
    first = world.kept_state(flow)
    assert account.tables["items"][-1]["updated_at"] in str(first)

    account.add("items", range(121, 131), day=2)
    account.add("items", [5], day=2, name="changed")
    # The one at the bookmark comes again: it may have had siblings of the same second.
    assert flow.run().counts("read") == {"items": 12, "cities": 3}
    stored = {row["id"]: row["name"] for row in world.stored("airbyte_incremental.db")}
    assert (len(stored), stored[5]) == (130, "changed")
    assert len(world.stored("airbyte_incremental.db")) == 130
    second = world.kept_state(flow)
    assert second != first

    assert flow.run(start_date="2026-01-02T00:02:05Z").counts("read")["items"] == 6  # out of turn
    assert world.kept_state(flow) == second
    assert flow.run(full_sync=True).counts("read") == {"items": 130, "cities": 3}
    assert sorted(map(str, world.kept_state(flow))) == sorted(map(str, second))
    assert len(world.stored("airbyte_incremental.db")) == 130


@scenario
def test_made_up_people_arrive_with_the_fields_that_are_on(world: World):
    flow = world.flow(
        "airbyte_faker",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: read, use: faker/read, select: {users: [name, address.city], purchases: "*"}, with: {count: 60}}
  - {id: stored, use: airbyte-sqlite/write, with: {file: $flow.db}}
""",
    )
    counts = flow.run().counts("read")
    assert counts["users"] == 60
    assert counts.keys() == {"users", "purchases"}
    for table, count in counts.items():
        assert len(world.stored("airbyte_faker.db", table)) == count
    (fields,) = {tuple(sorted(row)) for row in world.stored("airbyte_faker.db", "users")}
    assert set(fields) == {"id", "name", "address", "updated_at"}  # the key and the cursor stay on
    assert {tuple(row["address"]) for row in world.stored("airbyte_faker.db", "users")} == {("city",)}


@scenario
def test_a_streamed_pair_keeps_its_state_and_survives_a_kill(world: World):
    account = world.account("airbyte_pair")
    account.add("items", range(1, 201))
    account.add("cities", range(1, 4))
    account.hold(page=3)
    flow = world.flow("airbyte_pair", TO_FILE.replace("id: stored", "id: stored, stream: true"))
    run = flow.start()
    assert account.waiting.wait(PATIENCE)
    run.kill_worker("stored")
    account.release()
    run.end()
    assert run.tries("stored") == 2
    assert Counter(row["id"] for row in world.stored("airbyte_pair.db")) == Counter(range(1, 201))
    assert account.tables["items"][-1]["updated_at"] in str(world.kept_state(flow))
    account.add("items", range(201, 206), day=2)
    assert "9 messages in (cities 3, items 6)" in flow.run().log("stored")
    assert Counter(row["id"] for row in world.stored("airbyte_pair.db")) == Counter(range(1, 206))


@scenario
def test_a_rotated_token_is_used_by_the_next_run_and_outlives_a_failed_one(world: World):
    account = world.account("airbyte_token", refresh_token="refresh-token-0")
    account.add("items", range(1, 11))
    flow = world.flow(
        "airbyte_token",
        """
flowmate: 1
defaults: {retries: 0}
steps:
  - {id: read, use: airbyte-oauth/read, connection: $flow_api}
""",
    )
    assert flow.run().counts("read") == {"items": 10}
    before = account.rotations
    account.failures = 1
    failed = flow.run("failed")
    assert account.rotations > before  # the failed run got a token, too
    again = flow.run()
    assert again.counts("read") == {"items": 10}
    for run in (failed, again):
        assert "refresh-token-" not in run.airflow.raw_logs(flow.id, run.id, "read")


@scenario
def test_an_airbyte_source_fills_the_tables_of_a_singer_target(world: World):
    account = world.account("mixed_to_singer")
    account.add("items", range(1, 121))
    account.add("cities", range(1, 4))
    flow = world.flow(
        "mixed_to_singer",
        # Two parts that create the same schema at once: PostgreSQL refuses one of them, whatever IF NOT EXISTS says.
        """
flowmate: 1
defaults: {retries: 2, retry_delay: 1s, max_retry_delay: 1s}
steps:
  - {id: read, use: airbyte-api/read, connection: $flow_api, select: {items: "*"}}
  - id: stored
    use: target-postgres/write
    connection: warehouse
    batch: {size: 50, parallel: 2}
    with: {default_target_schema: $flow}
""",
    )
    assert flow.run().counts("read") == {"items": 120}
    assert world.warehouse.count("mixed_to_singer.items") == (120, 120)
    account.add("items", [7, 121], day=2, name="later")
    flow.run()
    assert world.warehouse.count("mixed_to_singer.items") == (121, 121)
    assert world.warehouse.rows("SELECT name, city ->> 'code' FROM mixed_to_singer.items WHERE id = 7") == [
        ("later", "0")
    ]
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'mixed_to_singer'"
    types = dict(world.warehouse.rows(query))
    assert (types["id"], types["city"]) == ("bigint", "jsonb")
    assert types["updated_at"].startswith("timestamp")


@scenario
def test_a_singer_tap_fills_the_streams_of_an_airbyte_destination(world: World):
    account = world.account("mixed_to_airbyte")
    account.add("items", range(1, 121))
    account.add("cities", range(1, 4))
    flow = world.flow("mixed_to_airbyte", TO_FILE.replace("airbyte-api/read", "tap-rest/read"))
    assert flow.run().counts("read") == {"items": 120, "cities": 3}
    account.add("items", [7, 121], day=2, name="later")
    assert flow.run().counts("read") == {"items": 3, "cities": 3}
    stored = world.stored("mixed_to_airbyte.db")
    assert Counter(row["id"] for row in stored) == Counter(range(1, 122))  # by the key that the tap declared
    assert next(row["name"] for row in stored if row["id"] == 7) == "later"
