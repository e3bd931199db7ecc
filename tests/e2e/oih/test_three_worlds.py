"""One flow of three worlds: an Airbyte source, a component of the Open Integration Hub, and a Singer target."""

from __future__ import annotations

from oih_stage import Stage, at_once


@at_once
def test_records_go_from_airbyte_through_a_component_to_a_singer_target(stage: Stage) -> None:
    web = stage.space("worlds")
    flow = stage.flow(
        "oih_three_worlds",
        f"""
defaults: {{retries: 0}}
steps:
  - id: people
    use: faker/read
    with: {{count: 20, seed: 7, parallelism: 1}}
    select: {{users: [id, name, email, age]}}
  - {{id: archived, use: archive/keep, with: {{server: "{web.url}"}}}}
  - id: stored
    use: target_web/write
    needs: [archived]
    load: {{key: [id]}}
    with: {{server: "{web.url}"}}
""",
    )
    run, state = stage.run(flow)
    assert state == "success"
    read = stage.airflow.xcom(flow, run, "people")
    assert (read["counts"], read["errors"]) == ({"users": 20}, 0)
    assert stage.airflow.xcom(flow, run, "archived")["counts"] == {"users": 20}
    assert "0 messages in, 20 out (users 20)" in stage.airflow.logs(flow, run, "people")
    assert "20 messages in (users 20), 0 out" in stage.airflow.logs(flow, run, "stored")
    assert sorted(web.tables["archive"], key=int) == [str(number) for number in range(1, 21)]
    assert web.tables["users"] == web.tables["archive"]
    schema = web.tables["schemas"]["users"]
    assert schema["key_properties"] == ["id"]
    types = {name: " ".join(set(value["type"]) - {"null"}) for name, value in schema["schema"]["properties"].items()}
    assert types == {
        **dict.fromkeys(("id", "age"), "integer"),
        **dict.fromkeys(("name", "email", "updated_at"), "string"),  # the cursor stays, selected or not
    }
    assert "users" in str(stage.states(flow)["people"])
