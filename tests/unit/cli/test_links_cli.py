"""`flowmate links`: connectors linked from a terminal, shown, checked and removed."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any, TypeAlias

import pytest
import requests
from cli_harness import Flowmate
from links_harness import World, world
from nasty import Nasty, broken, refused

from flowmate_airflow.auth import connections, links
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.cli.loopback import Loopback
from flowmate_airflow.store import linked, renewals

SECRET = "hunter22-hunter22"
CONN = "flowmate.crm.acme"


@pytest.fixture
def there(home: Path, monkeypatch: pytest.MonkeyPatch, nasty: Nasty) -> Iterator[World]:
    """Airflow in the home of the command, with the connector `crm`, and `shop` without a check."""
    with world(home / "airflow", monkeypatch) as made:
        made.add_connector(
            "crm",
            {
                "consent": nasty.auth(optional={"region": "extra.region"}),
                "key": {
                    **{"type": "api_key", "private": True, "verify": {"url": f"{nasty.url}/records"}},
                    **{"optional": {"region": "extra.region"}, "fields": {"key": {"title": "API key"}}},
                },
            },
        )
        yield made


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


Pages: TypeAlias = "Queue[tuple[int, str]]"


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch, nasty: Nasty) -> Pages:
    """A browser whose person consents at once; what the pages of the way back were."""
    pages: Pages = Queue()

    def visit(url: str) -> bool:
        answer = requests.get(url, timeout=60)  # the provider redirects to the loopback
        pages.put((answer.status_code, answer.text))
        return True

    monkeypatch.setenv("BROWSER", "one")
    monkeypatch.setattr("webbrowser.open", visit)
    return pages


def add_key(flowmate: Flowmate, monkeypatch: pytest.MonkeyPatch, key: str, tenant: str = "acme") -> Any:
    give(monkeypatch, f"{key}\n")
    return flowmate("links", "add", tenant, "crm", "--method", "key", "--field", "region=eu", "--field", "key=-")


def test_a_key_from_standard_input(
    flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = add_key(flowmate, monkeypatch, nasty.api_key)
    assert result.code == 0, result.err
    assert result.out == f"Linked crm for the tenant acme, by the method key; its Connection is {CONN}\n"
    stored = connections.read(CONN)
    assert stored is not None
    assert (stored.password, stored.extra["region"]) == (nasty.api_key, "eu")


def test_a_key_from_a_file_and_one_that_is_typed(
    flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("fields.json").write_text(json.dumps({"key": nasty.api_key}))
    assert flowmate("links", "add", "acme", "crm", "--method", "key", "--fields-file", "fields.json").code == 0
    prompts: list[str] = []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def typed(prompt: str, stream: Any) -> str:
        prompts.append(prompt)
        return nasty.api_key

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", typed)
    assert flowmate("links", "add", "bcme", "crm", "--method", "key").code == 0
    assert prompts == ["API key: "]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--field", f"key={SECRET}"], 2, "`key` is a secret, which others on this machine could read"),
        (["--field", "key"], 2, "--field: write NAME=VALUE, or key=- to be asked for it"),
        (["--field", "kex=1"], 2, '--field: there is no field "kex"; did you mean `key`?'),
        ([], 2, "`key` is missing"),
        (["--fields-file", "nothing.json"], 2, "--fields-file: nothing.json cannot be read"),
        (["--fields-file", "broken.json"], 2, "--fields-file: broken.json is not JSON"),
        (["--fields-file", "list.json"], 2, "--fields-file holds no JSON object"),
        (["--fields-file", "wrong.json"], 1, "the credentials are not right"),
        (["--symlink", "acme/crm", "--method", "key"], 2, "--symlink goes with no method"),
        (["--symlink", "acme"], 2, '--symlink is "acme"; write the other link as TENANT/CONNECTOR'),
    ],
)
def test_what_cannot_be_is_told_without_a_secret(
    flowmate: Flowmate, there: World, arguments: list[str], code: int, told: str
) -> None:
    Path("broken.json").write_text(f'{{"key": "{SECRET}"')
    Path("list.json").write_text(f'["{SECRET}"]')
    Path("wrong.json").write_text(f'{{"key": "{SECRET}"}}')
    method = [] if "--symlink" in arguments else ["--method", "key"]
    result = flowmate("links", "add", "acme", "crm", *method, *arguments)
    assert (result.code, result.out) == (code, "")
    assert told in result.err
    assert SECRET not in result.err
    assert there.raw() == {}


@pytest.mark.parametrize("tenant", ["a/b", 'a"b', "x" * 300])
def test_a_tenants_id_that_is_none(flowmate: Flowmate, there: World, nasty: Nasty, tenant: str) -> None:
    there.add_application("crm", nasty)
    Path("fields.json").write_text(json.dumps({"key": nasty.api_key}))
    for method in (["--method", "key", "--fields-file", "fields.json"], ["--method", "consent", "--no-browser"]):
        result = flowmate("links", "add", tenant, "crm", *method)
        assert result.code == 2
        assert "cannot be a tenant's id" in result.err
    assert list(there.raw()) == ["flowmate.crm"]


# --- consents


def test_a_consent_over_the_loopback(flowmate: Flowmate, there: World, nasty: Nasty, browser: Pages) -> None:
    there.add_application("crm", nasty)
    result = flowmate("links", "add", "acme", "crm", "--method", "consent", "--field", "region=eu")
    assert result.code == 0, result.err
    assert "The crm is asked for:\n  read: To read your records.\n  write: To change them.\n" in result.err
    assert f"{nasty.url}/authorize?" in result.err
    status, page = browser.get(timeout=60)
    assert (status, "Thank you. You can close this window" in page) == (200, True)
    stored = connections.read(CONN)
    assert stored is not None
    assert stored.grant is not None
    assert stored.extra["region"] == "eu"
    assert stored.grant.access_token not in result.out + result.err
    (asked,) = nasty.called("/authorize")
    assert asked.query["code_challenge_method"] == "S256"
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/callback", asked.query["redirect_uri"])
    with pytest.raises(requests.ConnectionError):  # nothing listens there any more
        requests.get(asked.query["redirect_uri"], timeout=60)


def test_a_consent_that_is_denied(flowmate: Flowmate, there: World, nasty: Nasty, browser: Pages) -> None:
    there.add_application("crm", nasty)
    nasty.denies = True
    result = flowmate("links", "add", "acme", "crm", "--method", "consent")
    assert result.code == 1
    assert "the consent was not given" in result.err
    assert CONN not in there.raw()
    status, page = browser.get(timeout=60)
    assert (status, "It did not work; the command line says why" in page) == (200, True)


def test_nobody_else_can_bring_the_way_back(
    flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.add_application("crm", nasty)
    answers: list[int] = []
    over = threading.Event()

    def visit(url: str) -> bool:
        back = nasty.consent(url)
        asked = nasty.called("/authorize")[-1].query
        for query in (
            {**back, "state": "x"},
            {"code": back["code"]},
            [("code", "other"), *back.items()],
            {**back, "state": back["state"] + "ü"},
        ):
            answers.append(requests.get(asked["redirect_uri"], params=query, timeout=60).status_code)
        elsewhere = asked["redirect_uri"].replace("callback", "other")
        answers.append(requests.get(elsewhere, params=back, timeout=60).status_code)
        answers.append(requests.get(asked["redirect_uri"], params=back, timeout=60).status_code)
        over.set()
        return True

    monkeypatch.setenv("BROWSER", "one")
    monkeypatch.setattr("webbrowser.open", visit)
    assert flowmate("links", "add", "acme", "crm", "--method", "consent").code == 0
    assert over.wait(60)
    assert answers == [400] * 5 + [200]


def test_without_anybody_who_consents_nothing_is_linked(
    flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.add_application("crm", nasty)
    monkeypatch.setattr(Loopback.wait, "__defaults__", (0.05,))
    result = flowmate("links", "add", "acme", "crm", "--method", "consent", "--no-browser")
    assert result.code == 1
    assert "nobody has consented within" in result.err
    assert CONN not in there.raw()


def test_a_port_that_is_taken(flowmate: Flowmate, there: World, nasty: Nasty) -> None:
    there.add_application("crm", nasty)
    port = nasty.url.rpartition(":")[2]
    result = flowmate("links", "add", "acme", "crm", "--method", "consent", "--port", port)
    assert result.code == 1
    assert f"nothing can listen at 127.0.0.1:{port}" in result.err
    assert flowmate("links", "add", "acme", "crm", "--method", "consent", "--port", "99999").code == 1


def test_without_an_application_the_command_that_adds_it_is_told(flowmate: Flowmate, there: World) -> None:
    result = flowmate("links", "add", "acme", "crm", "--method", "consent")
    assert result.code == 2
    assert "airflow connections add flowmate.crm --conn-type flowmate" in result.err


def test_a_new_login_keeps_what_was_filled_in_and_what_is_read(
    flowmate: Flowmate, there: World, nasty: Nasty, browser: Pages
) -> None:
    there.add_application("crm", nasty)
    flowmate("links", "add", "acme", "crm", "--method", "consent", "--field", "region=eu")
    Path("map.json").write_text('{"orders": ["id"]}')
    assert flowmate("links", "fields", "acme", "crm", "--file", "map.json").code == 0
    before = connections.read(CONN)
    assert flowmate("links", "reauth", "acme", "crm").code == 0
    after = connections.read(CONN)
    assert before is not None
    assert after is not None
    assert after.extra["region"] == "eu"
    assert after.grant != before.grant
    assert json.loads(flowmate("links", "fields", "acme", "crm").out) == {"orders": ["id"]}


def test_a_new_key_for_a_link(flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    add_key(flowmate, monkeypatch, nasty.api_key)
    nasty.api_key = "another-key-of-ada"
    give(monkeypatch, "")
    assert "`key` is missing" in flowmate("links", "reauth", "acme", "crm").err
    give(monkeypatch, f"{nasty.api_key}\n")
    assert flowmate("links", "reauth", "acme", "crm", "--field", "key=-").code == 0
    stored = connections.read(CONN)
    assert stored is not None
    assert (stored.password, stored.extra["region"]) == (nasty.api_key, "eu")
    flowmate("links", "add", "bcme", "crm", "--symlink", "acme/crm")
    result = flowmate("links", "reauth", "bcme", "crm")
    assert result.code == 2
    assert "`flowmate links reauth acme crm` renews these" in result.err


# --- shown, checked, removed


def test_links_are_listed_with_how_they_are(
    flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert flowmate("links", "list").out == "nobody has linked a connector; `flowmate links add` does it\n"
    add_key(flowmate, monkeypatch, nasty.api_key)
    add_key(flowmate, monkeypatch, nasty.api_key, "bcme")
    flowmate("links", "add", "ccme", "crm", "--symlink", "bcme/crm")
    linked.note_check(there.store, "acme", "crm", "it is\x1b[31m over")
    renewals.take(there.store, "flowmate.crm.bcme", "me", b"x", 60)
    renewals.need_login(there.store, "flowmate.crm.bcme", "me", "the person has gone")
    Path("map.json").write_text('{"orders": "*"}')
    flowmate("links", "fields", "default", "crm", "--file", "map.json")
    result = flowmate("links", "list")
    assert result.out.splitlines() == [
        "acme crm: does not work (key): it is\\u001b[31m over",
        "bcme crm: needs a new login (key): the person has gone",
        "ccme crm: needs a new login (key, uses bcme/crm): the person has gone",
        "default crm: a template of fields, without credentials",
    ]
    shown = json.loads(flowmate("links", "list", "--tenant", "bcme", "--format", "json").out)
    assert [(each["status"], each["reason"]) for each in shown] == [("needs_reauth", "the person has gone")]
    one = json.loads(flowmate("links", "show", "bcme", "crm", "--format", "json").out)
    assert one["used_by"] == [{"tenant": "ccme", "connector": "crm"}]
    assert one["connection"] == "flowmate.crm.bcme"
    assert "used by: ccme/crm" in flowmate("links", "show", "bcme", "crm").out
    assert "reads: " not in flowmate("links", "show", "bcme", "crm").out


@pytest.mark.parametrize("command", ["show", "reauth", "remove", "check", "fields"])
def test_a_link_that_is_not_there_is_told_with_what_is(
    flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    assert "nobody has linked a connector" in flowmate("links", command, "acme", "crm").err
    add_key(flowmate, monkeypatch, nasty.api_key)
    result = flowmate("links", command, "acne", "crm")
    assert (result.code, result.err) == (2, 'the tenant "acne" has linked nothing; did you mean `acme`?\n')
    result = flowmate("links", command, "acme", "crn")
    assert (result.code, result.err) == (2, 'the tenant acme has not linked "crn"; did you mean `crm`?\n')


def test_links_are_checked(flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    add_key(flowmate, monkeypatch, nasty.api_key)
    Path("fields.json").write_text(f'{{"key": "{SECRET}"}}')
    assert flowmate("links", "add", "acme", "shop", "--method", "key", "--fields-file", "fields.json").code == 0
    result = flowmate("links", "check", "acme")
    assert (result.code, result.out) == (0, "crm: it works\nshop: could not be checked here\n")
    nasty.api_key = "another"
    result = flowmate("links", "check", "acme", "crm", "--format", "json")
    assert result.code == 1
    (found,) = json.loads(result.out)
    assert "401" in found["problem"]
    connections.remove(CONN)
    assert "is gone; link it again" in flowmate("links", "check", "acme", "crm").out


def test_a_link_is_removed_when_somebody_says_so(
    flowmate: Flowmate, there: World, nasty: Nasty, browser: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.add_application("crm", nasty)
    flowmate("links", "add", "acme", "crm", "--method", "consent")
    give(monkeypatch, "")
    result = flowmate("links", "remove", "acme", "crm")
    assert result.code == 2
    assert "Add --yes: there is nobody to ask" in result.err
    nasty.next(broken, broken)
    result = flowmate("links", "remove", "acme", "crm", "--yes", "--must-revoke")
    assert result.code in (1, 2)
    assert "is kept: the provider has not taken its tokens back" in result.err
    result = flowmate("links", "remove", "acme", "crm", "--yes")
    assert result.code == 0
    assert result.out == "Removed the link of the tenant acme to crm; the provider has taken its tokens back\n"
    assert CONN not in there.raw()


def test_a_revocation_that_fails_is_told_and_the_link_is_gone(
    flowmate: Flowmate, there: World, nasty: Nasty, browser: Pages
) -> None:
    there.add_application("crm", nasty)
    flowmate("links", "add", "acme", "crm", "--method", "consent")
    nasty.next(refused("server_error", 500), refused("server_error", 500))
    result = flowmate("links", "remove", "acme", "crm", "--yes")
    assert result.code == 0
    assert "the provider has not taken its tokens back" in result.err
    assert CONN not in there.raw()


def test_a_link_that_others_use_is_removed_by_force(
    flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(flowmate, monkeypatch, nasty.api_key)
    flowmate("links", "add", "bcme", "crm", "--symlink", "acme/crm")
    result = flowmate("links", "remove", "acme", "crm", "--yes")
    assert result.code == 1
    assert "are used by bcme/crm; unlink these first" in result.err
    result = flowmate("links", "remove", "acme", "crm", "--yes", "--force")
    assert result.out == "Removed the link of the tenant acme to crm and bcme/crm\n"


def test_field_maps_are_set_and_cleared(
    flowmate: Flowmate, there: World, nasty: Nasty, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_key(flowmate, monkeypatch, nasty.api_key)
    give(monkeypatch, '{"Contact": {"name": "Contact", "selected": ["Id"]}}')
    result = flowmate("links", "fields", "acme", "crm", "--file", "-")
    assert result.out == "Set which tables the link of the tenant acme to crm reads: Contact\n"
    assert flowmate("links", "fields", "acme", "crm", "--clear").code == 0
    shown = flowmate("links", "fields", "acme", "crm")
    assert (shown.out, "has no field map of its own" in shown.err) == ("null\n", True)
    give(monkeypatch, '{"Contact": "Id"}')
    result = flowmate("links", "fields", "acme", "crm", "--file", "-")
    assert (result.code, result.out) == (2, "")
    assert "the field map cannot be used: select.Contact" in result.err
    assert flowmate("links", "fields", "acme", "crm", "--file", "x", "--clear").code == 2


def test_a_token_that_is_over_is_renewed_for_a_check(
    flowmate: Flowmate, there: World, nasty: Nasty, browser: Pages
) -> None:
    there.add_application("crm", nasty)
    flowmate("links", "add", "acme", "crm", "--method", "consent")

    def older(stored: connections.Stored) -> connections.Stored:
        assert stored.grant is not None
        return stored.with_login(Login(replace(stored.grant, expires_at=1.0)))

    connections.change(CONN, older)
    assert flowmate("links", "check", "acme", "crm").out == "crm: it works\n"
    assert nasty.refreshes == 1


def test_two_at_once_leave_one_link(
    flowmate: Flowmate, there: World, nasty: Nasty, browser: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.add_application("crm", nasty)
    catalog = there.catalog
    other = threading.Thread(
        target=lambda: links.link(catalog, "acme", "crm", "key", {"key": nasty.api_key}, store=there.store)
    )
    other.start()
    result = flowmate("links", "add", "acme", "crm", "--method", "consent")
    other.join()
    assert result.code == 0
    row, stored = linked.find(there.store, "acme", "crm"), connections.read(CONN)
    assert row is not None
    assert stored is not None
    assert row.method == stored.mark["method"]
    assert (stored.grant is not None) == (row.method == "consent")
