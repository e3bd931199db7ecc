"""Components of the Open Integration Hub and elastic.io in flows: what they read, remember, repeat and hand on."""

from __future__ import annotations

import os
import signal

from harness import containers, docker
from oih_service import basic
from oih_stage import Stage, at_once


@at_once
def test_reads_what_is_new_and_repeats_what_did_not_arrive(stage: Stage) -> None:
    web = stage.space("orders", 1, 2, 3)
    flow = stage.flow(
        "oih_orders",
        f"""
defaults: {{retries: 0}}
steps:
  - {{id: read, use: contacts/getPersons, with: {{server: "{web.url}"}}}}
  - {{id: order, map: '{{"id": data.id, "number": data.number}}'}}
  - {{id: saved, use: shop/save, with: {{server: "{web.url}"}}}}
""",
    )
    run, state = stage.run(flow)
    assert state == "success"
    value = stage.airflow.xcom(flow, run, "saved")
    assert (value["count"], value["errors"]) == (3, 0)
    assert [message["data"]["id"] for message in value["messages"]] == ["p1", "p2", "p3"]
    assert _last_line(stage.airflow.logs(flow, run, "saved")) == "3 messages in, 3 out"
    assert stage.states(flow) == {"read": {"lastUpdated": 3}}

    web.add(4, 5)
    web.fail("/orders/p5", 500)
    run, state = stage.run(flow)
    assert state == "failed"
    assert "no luck with /orders/p5" in stage.airflow.logs(flow, run, "saved")
    assert stage.states(flow) == {"read": {"lastUpdated": 3}}
    assert stage.states(flow, held=True) == {"read": {"lastUpdated": 5}}

    web.heal()
    _, state = stage.run(flow)
    assert state == "success"
    assert stage.states(flow) == {"read": {"lastUpdated": 5}}
    assert web.since() == ["0", "3", "3"]  # what failed was read again
    assert web.tables["orders"] == {f"p{n}": {"id": f"p{n}", "number": n} for n in range(1, 6)}
    assert web.counts("PUT") == {"/orders/p1": 1, "/orders/p2": 1, "/orders/p3": 1, "/orders/p4": 2, "/orders/p5": 2}


@at_once
def test_killed_in_the_middle_it_loses_nothing(stage: Stage) -> None:
    web = stage.space("killed", 1, 2, 3)
    gate = web.close_gate("/orders/p2")
    flow = stage.flow(
        "oih_killed",
        f"""
defaults: {{retries: 2, retry_delay: 1s, max_retry_delay: 1s}}
steps:
  - {{id: read, use: archive/getEntries, with: {{server: "{web.url}"}}}}
  - {{id: saved, use: shop/save, with: {{server: "{web.url}"}}}}
""",
    )
    run = stage.airflow.trigger(flow)
    web.wait_for("PUT", "/orders/p2")
    (container,) = containers(f"flowmate.flow={flow}")
    os.kill(stage.airflow.task_instances(flow, run)["saved"]["pid"], signal.SIGKILL)
    docker("kill", container)
    gate.set()
    assert stage.airflow.wait_for_run(flow, run) == "success"
    assert stage.airflow.task_instances(flow, run)["saved"]["try_number"] == 2
    assert stage.airflow.xcom(flow, run, "saved")["count"] == 3
    assert sorted(web.tables["orders"]) == ["p1", "p2", "p3"]
    assert web.since() == ["0"]
    assert stage.states(flow) == {"read": {"since": 3}}


@at_once
def test_credentials_come_under_the_components_names_and_wrong_ones_are_not_tried_again(stage: Stage) -> None:
    user, key, token, order, wrong = (stage.space(f"login-{name}", 1) for name in ("a", "b", "c", "d", "e"))
    user.guard = wrong.guard = basic("ann", "the-password-of-ann")
    key.guard = lambda headers: headers.get("x-api-key") == "the-key-of-ann"
    order.guard = lambda headers: headers.get("x-api-key") == "the-key-of-the-shop"
    token.guard = lambda headers: headers.get("authorization") == "Bearer the-token-of-ann"
    add = stage.airflow.add_connection
    add("oih_basic", login="ann", password="the-password-of-ann")
    add("oih_key", extra='{"key": "the-key-of-ann"}')
    add("oih_token", extra='{"access_token": "the-token-of-ann"}')
    add("oih_shop", password="the-key-of-the-shop")
    add("oih_wrong", login="ann", password="not-the-password")
    flow = stage.flow(
        "oih_logins",
        f"""
defaults: {{retries: 5, retry_delay: 1s}}
steps:
  - {{id: basic, use: contacts/getPersons, connection: oih_basic, with: {{server: "{user.url}"}}}}
  - {{id: key, use: contacts/getPersons, needs: [], connection: oih_key, with: {{server: "{key.url}"}}}}
  - {{id: token, use: contacts/getPersons, needs: [], connection: oih_token, with: {{server: "{token.url}"}}}}
  - {{id: wrong, use: contacts/getPersons, needs: [], connection: oih_wrong, with: {{server: "{wrong.url}"}}}}
  - {{id: saved, use: shop/save, needs: [key], connection: oih_shop, with: {{server: "{order.url}"}}}}
""",
    )
    run, state = stage.run(flow)
    assert state == "failed"
    tasks = stage.airflow.task_instances(flow, run)
    states = {name: tasks[name]["state"] for name in ("basic", "key", "token", "wrong", "saved")}
    assert states == {"basic": "success", "key": "success", "token": "success", "wrong": "failed", "saved": "success"}
    assert tasks["wrong"]["try_number"] == 1
    assert "401" in stage.airflow.logs(flow, run, "wrong")
    assert len(wrong.requests) == 1


@at_once
def test_keys_that_a_component_changes_are_used_from_then_on_also_after_a_failure(stage: Stage) -> None:
    web = stage.space("rotate")
    stage.airflow.add_connection("oih_rotating", password=web.tokens[0])
    flow = stage.flow(
        "oih_rotate",
        f"""
params: {{fail: {{type: boolean, default: false}}}}
defaults: {{retries: 0}}
steps:
  - id: changed
    use: contacts/rotate
    connection: oih_rotating
    with: {{server: "{web.url}", fail: "{{{{ params.fail }}}}"}}
""",
    )
    failed, state = stage.run(flow, {"fail": True})
    assert state == "failed"
    run, state = stage.run(flow)
    assert state == "success"  # the service refuses all tokens but the newest
    assert [each.body["token"] for each in web.requests] == web.tokens[:2]
    for log in (stage.airflow.raw_logs(flow, failed, "changed"), stage.airflow.raw_logs(flow, run, "changed")):
        assert "the token is now ***" in log
        assert [token for token in web.tokens if token in log] == []


@at_once
def test_a_password_that_is_printed_is_in_no_log(stage: Stage) -> None:
    password = "Sesame, open & close/it+now"
    stage.airflow.add_connection("oih_leak", login="ann", password=password)
    flow = stage.flow(
        "oih_leak", "defaults: {retries: 0}\nsteps:\n  - {id: told, use: contacts/leak, connection: oih_leak}\n"
    )
    run, state = stage.run(flow)
    assert state == "failed"
    log = stage.airflow.raw_logs(flow, run, "told")
    assert "refused for ***" in log
    assert "passphrase=***" in log
    home = stage.airflow.dags.parent
    written = [path.read_bytes() for path in (home / "logs").rglob("*") if path.is_file() and flow in str(path)]
    for text in (password, "Sesame%2C%20open%20%26%20close%2Fit%2Bnow"):
        assert text not in log
        assert [content for content in written if text.encode() in content] == []
    assert written
    assert stage.airflow.xcom(flow, run, "told") is None


@at_once
def test_what_rebounds_is_tried_again_in_the_step_and_not_for_ever(stage: Stage) -> None:
    web = stage.space("rebound", 1, 2, 3)
    web.fail("/orders/p1", 409, times=2)
    web.fail("/orders/p3", 409)
    flow = stage.flow(
        "oih_rebound",
        f"""
steps:
  - {{id: read, use: contacts/getPersons, with: {{server: "{web.url}"}}}}
  - {{id: saved, use: shop/save, on_error: skip, with: {{server: "{web.url}"}}}}
""",
    )
    run, state = stage.run(flow)
    assert state == "success"
    assert web.counts("PUT") == {"/orders/p1": 3, "/orders/p2": 1, "/orders/p3": 5}
    value = stage.airflow.xcom(flow, run, "saved")
    assert ([message["data"]["id"] for message in value["messages"]], value["errors"]) == (["p2", "p1"], 1)
    log = stage.airflow.logs(flow, run, "saved")
    assert "rebound limit exceeded (4): somebody else holds it" in log
    assert _last_line(log) == "3 messages in, 2 out, 1 failed"


@at_once
def test_components_that_break_the_rules_fail_with_the_reason(stage: Stage) -> None:
    said = {
        "exits": "the component called process.exit(0) at lib/exits.js:3",
        "hangs": "no result within 2 seconds",
        "throws": "too late to say so",
        "requires": "the module 'left-out-of-the-image', which lib/requires.js requires, is not in the image",
    }
    flow = stage.flow(
        "oih_broken",
        """
defaults: {retries: 0}
steps:
  - {id: exits, use: contacts/exits}
  - {id: hangs, use: contacts_slow/hangs, needs: []}
  - {id: throws, use: contacts/throws_after_end, needs: []}
  - {id: requires, use: contacts/requires, needs: []}
""",
    )
    run, state = stage.run(flow)
    assert state == "failed"
    for step, text in said.items():
        assert text in stage.airflow.logs(flow, run, step)
        assert stage.airflow.xcom(flow, run, step) is None


@at_once
def test_ids_of_the_other_system_turn_a_create_into_an_update(stage: Stage) -> None:
    web = stage.space("links", 1, 2)
    flow = stage.flow(
        "oih_links",
        f"""
steps:
  - {{id: read, use: contacts/getPersons, with: {{server: "{web.url}"}}}}
  - {{id: person, map: '{{"number": data.number, "note": data.note}}'}}
  - {{id: saved, use: contacts/upsertPerson, external_id: data.number, with: {{server: "{web.url}"}}}}
""",
    )
    _, state = stage.run(flow)
    assert state == "success"
    web.records[0]["note"] = "changed"
    web.add(3)
    _, state = stage.run(flow, {"full_sync": True})
    assert state == "success"
    assert web.since() == ["0", "0"]
    assert web.counts("POST") == {"/persons": 3}
    assert web.counts("PUT") == {"/persons/r1": 1, "/persons/r2": 1}
    assert web.tables["persons"] == {"r1": {"number": 1, "note": "changed"}, "r2": {"number": 2}, "r3": {"number": 3}}


@at_once
def test_a_streamed_pair_keeps_the_state_when_both_succeeded(stage: Stage) -> None:
    web = stage.space("pair", 1, 2, 3)
    web.fail("/orders/p2", 500, times=1)
    flow = stage.flow(
        "oih_pair",
        f"""
defaults: {{retries: 0}}
steps:
  - {{id: read, use: archive/getEntries, with: {{server: "{web.url}"}}}}
  - {{id: saved, use: shop/save, stream: true, when: data.number < 3, with: {{server: "{web.url}"}}}}
  - {{id: booked, use: ledger/book, with: {{server: "{web.url}"}}}}
""",
    )
    run, state = stage.run(flow)
    assert state == "failed"
    assert set(stage.airflow.task_states(flow, run)) == {"saved", "booked", "read.state"}
    assert "no luck with /orders/p2" in stage.airflow.logs(flow, run, "saved")
    run, state = stage.run(flow)
    assert state == "success"
    assert web.since() == ["0", "0"]
    assert stage.airflow.xcom(flow, run, "saved")["count"] == 2
    assert sorted(web.tables["orders"]) == sorted(web.tables["ledger"]) == ["p1", "p2"]
    assert stage.states(flow) == {"read": {"since": 3}}


def _last_line(log: str) -> str:
    """Return the last line that a step wrote, without its level: what follows is Airflow's own."""
    lines = [line.partition(" ")[2] for line in log.splitlines()]
    return lines[lines.index("::group::Post Execute") - 1]
