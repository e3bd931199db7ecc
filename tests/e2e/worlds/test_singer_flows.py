"""Flows of real Singer taps and targets: every record arrives, and a run reads only what is new."""

from __future__ import annotations

from world import World, scenario

IMAGES = ("tap-rest", "target-postgres")

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
    run = flow.run()
    assert run.counts("read") == {"items": 120, "cities": 3}
    assert world.warehouse.rows("SELECT count(*), count(DISTINCT id) FROM singer_incremental.items") == [(120, 120)]
    before = world.kept_state(flow)
    assert before["bookmarks"]["items"]["replication_key_value"] == account.tables["items"][-1]["updated_at"]
