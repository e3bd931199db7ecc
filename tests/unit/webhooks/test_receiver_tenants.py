"""Endpoints with an address for each tenant: nobody gets in at another one's, and nobody can tell who there is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from receiver_harness import PUBLIC, SECRET, Answered, Served, github, serving, signed_headers

from flowmate_airflow.store import endpoints
from flowmate_airflow.store.deliveries import REJECTED
from flowmate_airflow.store.subscriptions import ACTIVE, ENDED, MADE, Registration, Subscription, save
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.schemes import SCHEMES, sign

BODY = b'{"order": 7}'


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(
        tmp_path,
        github(tenants=True, connector="shop"),
        github("slow", tenants=True, rate=3),
        github("bills"),
        Endpoint("own", scheme="github", tenants=True, connector="shop"),
        Endpoint("open", scheme="token", tenants=True),
        Endpoint("called", scheme="twilio", connection="secret", tenants=True),
        Endpoint("flow~step", scheme="bearer", connection="secret", tenants=True),
    ) as found:
        yield found


def token(served: Served, name: str, tenant: str) -> str:
    made = endpoints.token_of(served.store, name, tenant)
    served.receiver._known._began = float("-inf")  # as if a second had gone by since tokens were read
    return made


def call(served: Served, name: str, tenant: str, given: str, body: bytes = BODY, secret: str = SECRET) -> Answered:
    return served.post(f"{name}/{tenant}/{given}", body, signed_headers(body, secret))


def test_what_comes_to_a_tenants_address_is_kept_as_theirs(served: Served) -> None:
    for tenant in ("acme", "ops@example.com:8"):
        assert call(served, "orders", tenant, token(served, "orders", tenant)).status == 202
    acme, ops = served.kept()
    assert (acme.endpoint, acme.tenant, ops.tenant) == ("orders", "acme", "ops@example.com:8")
    told = served.payload(acme)
    assert told["http"]["path"] == "/orders/acme"
    assert told["event"]["source"] == "/webhooks/github/orders/acme"


def test_the_same_event_of_two_tenants_is_two_events(served: Served) -> None:
    headers = signed_headers(BODY)
    for tenant in ("acme", "acme", "other"):
        path = f"orders/{tenant}/{token(served, 'orders', tenant)}"
        assert served.post(path, BODY, headers).status == 202
    assert [(each.tenant, each.duplicates) for each in served.kept()] == [("acme", 1), ("other", 0)]


def test_whoever_has_no_token_of_the_tenant_is_answered_as_at_an_unknown_webhook(served: Served) -> None:
    acme, other, bills = (token(served, *place) for place in (("orders", "acme"), ("orders", "other"), ("bills", "")))
    unknown = call(served, "nothing-here", "acme", acme)
    assert unknown.status == 401
    paths = [
        f"orders/other/{acme}",  # another tenant's token
        f"own/acme/{acme}",  # another flow's
        f"orders/nobody/{acme}",
        f"orders/acme/{other}",
        f"orders/acme/{acme}x",
        "orders/acme/",
        f"orders//{acme}",
        f"orders/{acme}",
        "orders/acme",
        "orders",
        f"orders/acme/{acme}/more",
        f"orders/-acme/{acme}",
        f"orders/{'a' * 101}/{acme}",
        f"orders/ac%20me/{acme}",
        f"orders/ac%27me/{acme}",
        f"orders/ac%2Fme/{acme}",
        f"bills/acme/{bills}",  # this one has no tenants
        f"bills/acme/{acme}",
    ]
    for path in paths:
        answered = served.post(path, BODY, signed_headers(BODY))
        assert (answered.status, answered.headers, answered.body) == (401, unknown.headers, unknown.body), path
    assert served.kept() == []
    assert call(served, "orders", "acme", acme).status == 202


def test_who_is_refused_cannot_tell_by_the_time_whether_there_is_such_a_tenant(served: Served) -> None:
    acme = token(served, "orders", "acme")

    def spent(tenant: str, given: str) -> float:
        began = time.monotonic()
        assert call(served, "orders", tenant, given, secret="wrong").status == 401
        return time.monotonic() - began

    # Not before the next multiple of 50 ms: what happens within is hidden.
    assert min(spent("acme", acme), spent("acme", "t0ken"), spent("nobody", "t0ken")) >= 0.05


def test_the_right_token_does_without_no_signature(served: Served) -> None:
    acme = token(served, "orders", "acme")
    assert call(served, "orders", "acme", acme, secret="forged").status == 401
    (noted,) = served.kept(status=REJECTED)
    assert (noted.endpoint, noted.tenant) == ("orders", "acme")
    assert served.post(f"open/acme/{token(served, 'open', 'acme')}", BODY, signed_headers(BODY)).status == 202


def test_one_tenants_flood_shuts_no_other_out(served: Served) -> None:
    acme, other = token(served, "slow", "acme"), token(served, "slow", "other")
    assert [call(served, "slow", "acme", acme).status for _ in range(5)] == [202, 202, 202, 429, 429]
    assert call(served, "slow", "other", other).status == 202


def test_a_tenants_token_is_replaced_by_itself(served: Served) -> None:
    old, other = token(served, "orders", "acme"), token(served, "orders", "other")
    new = endpoints.rotate(served.store, "orders", "acme", timedelta(hours=1))
    assert token(served, "orders", "other") == other
    assert [call(served, "orders", "acme", each).status for each in (old, new)] == [202, 202]
    newest = endpoints.rotate(served.store, "orders", "acme", timedelta(0))
    assert token(served, "orders", "other") == other
    assert [call(served, "orders", "acme", each).status for each in (newest, old, new)] == [202, 401, 401]
    assert call(served, "orders", "other", other).status == 202
    endpoints.forget(served.store, "acme")
    served.receiver._known._began = float("-inf")
    assert call(served, "orders", "other", "forged").status == 401  # so that they are read again
    assert call(served, "orders", "acme", newest).status == 401
    assert call(served, "orders", "other", other).status == 202


def registered(served: Served, tenant: str, secret: str, status: str = ACTIVE) -> None:
    made = Registration("id", "aa", "shop/created", "own", "https://x.example", secret=secret, state=MADE)
    save(served.store, Subscription("own", "created", tenant, status=status, current=made))  # type: ignore[arg-type]
    served.receiver._known._began = float("-inf")


def test_a_tenants_secret_is_what_was_agreed_on_else_their_links_else_everybodys(served: Served) -> None:
    served.directory.links["shop", "acme"] = ["linked", "linked before"]
    acme, other = token(served, "orders", "acme"), token(served, "orders", "other")
    assert call(served, "orders", "acme", acme, secret="linked").status == 202
    assert call(served, "orders", "acme", acme, secret="linked before").status == 202
    assert call(served, "orders", "acme", acme, secret=SECRET).status == 401  # of those who have none of their own
    assert call(served, "orders", "other", other, secret=SECRET).status == 202
    assert call(served, "orders", "other", other, secret="linked").status == 401
    own = token(served, "own", "acme")
    registered(served, "acme", "agreed")
    assert call(served, "own", "acme", own, secret="agreed").status == 202
    assert call(served, "own", "acme", own, secret="linked").status == 401
    registered(served, "acme", "agreed", ENDED)
    assert call(served, "own", "acme", own, secret="forged").status == 401  # and what is known is read again
    assert call(served, "own", "acme", own, secret="linked").status == 202


def test_without_a_secret_nobody_gets_in_and_the_owner_is_told(served: Served) -> None:
    own = token(served, "own", "acme")
    registered(served, "other", "agreed")
    for secret in ("", "agreed", SECRET):
        assert call(served, "own", "acme", own, secret=secret).status == 401
    noted = served.kept(status=REJECTED)
    assert {each.tenant for each in noted} == {"acme"}
    assert "there is no secret yet" in (noted[0].error or "")
    assert "webhook_secret" in (noted[0].error or "")


def test_links_that_cannot_be_read_let_nobody_in_by_the_shared_secret(served: Served) -> None:
    acme = token(served, "orders", "acme")
    assert served.post("bills", BODY, signed_headers(BODY)).status == 202  # endpoints and tokens are known
    read, served.directory.error = served.directory.error, RuntimeError("the database is down")
    assert call(served, "orders", "acme", acme).status == 503
    served.directory.error = read


def test_a_sender_may_sign_the_address_of_the_tenant(served: Served) -> None:
    made = token(served, "called", "ops@example.com")
    path = f"called/ops@example.com/{made}"
    body = b"From=1&To=2"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    headers = dict(
        sign(
            SCHEMES["twilio"],
            body,
            SECRET,
            time.time(),
            url=f"{PUBLIC}/flowmate/hooks/{path}",
            headers=tuple((name.lower(), text) for name, text in kind.items()),
        )
    )
    assert served.post(path, body, {**kind, **headers}).status == 200


def test_a_step_that_waits_has_an_address_for_each_tenant_too(served: Served) -> None:
    acme = token(served, "flow~step", "acme")
    bearer = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
    assert served.post(f"flow~step/acme/{acme}", BODY, bearer).status == 202
    assert served.post("flow~step", BODY, bearer).status == 401
    (kept,) = served.kept()
    assert (kept.endpoint, kept.tenant, served.payload(kept)["event"]["data"]) == (
        *("flow~step", "acme", {"order": 7}),
    )


def test_what_comes_for_several_tenants_wakes_what_starts_their_runs(served: Served) -> None:
    for tenant in ("acme", "other"):
        assert call(served, "orders", tenant, token(served, "orders", tenant)).status == 202
    end = time.monotonic() + 60
    while len(served.directory.woken) < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert set(served.directory.woken) == {"orders"}
