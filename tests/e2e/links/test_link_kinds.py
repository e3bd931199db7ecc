"""From link to a step that calls an API with the token: five kinds of logins, each linked by another way.

The providers are real ones on the loopback (npm's `oidc-provider`; oauthlib's OAuth 1 server), or played.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from harness import PATIENCE, Client, LocalAirflow, wait_until
from local_airflow import PASSWORD, USER
from nasty import Nasty
from oauth1_server import OAuth1Server
from oidc import CLIENT, MACHINE, Oidc
from playwright.sync_api import Browser, Page, expect

from flowmate_airflow.auth.consents import context_of

pytestmark = pytest.mark.usefixtures("clerk", "no_container_left")

FLOW = """
flowmate: 1
tenants: linked
defaults: {retries: 0}
steps:
  - {id: books, use: clerk/books}
  - {id: named, map: '{"name": data.name}'}
"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A browser window of somebody who was never here."""
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    context.close()


FIRST = """
flowmate: 1
tenants: {who: [bob], on_link: run}
defaults: {retries: 0}
steps:
  - {id: books, use: clerk/books}
"""


@pytest.fixture(scope="module")
def books(airflow: Client) -> Iterator[str]:
    """The flow that reads the books of each tenant."""
    paths = [airflow.drop_flow("books.yaml", FLOW), airflow.drop_flow("first_books.yaml", FIRST)]
    for flow in ("books", "first_books"):
        airflow.wait_for_dag(flow)
        airflow.unpause(flow)
    airflow.wait_for_dag("first_books__tenants")
    yield "books"
    for path in paths:
        path.unlink()


def application(airflow: Client, login: str, password: str) -> None:
    """Say who FlowMate is at the provider."""
    airflow.add_connection("flowmate.clerk", login=login, password=password)


def names_for(airflow: Client, tenant: str) -> list[str]:
    """Run the flow for a tenant and return what it has read."""
    run_id = airflow.trigger("books", {"tenant": tenant})
    state = airflow.wait_for_run("books", run_id)
    assert state == "success", airflow.logs("books", run_id, "books")
    return [message["data"]["name"] for message in airflow.xcom("books", run_id, "named")["messages"]]


def add_link(local: LocalAirflow, tenant: str, method: str, **fields: str) -> None:
    """Link by the command line, as somebody does who runs a script."""
    program = Path(sys.executable).with_name("flowmate")
    done = subprocess.run(
        [program, "links", "add", tenant, "clerk", "--method", method, "--fields-file", "-"],
        env=local.environment,
        input=json.dumps(fields),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "***" not in done.stdout
    for secret in (fields.get("client_secret"), fields.get("private_key")):
        assert secret is None or secret not in done.stdout + done.stderr


def test_a_person_consents_in_the_browser(airflow: Client, books: str, oidc: Oidc, page: Page) -> None:
    application(airflow, *CLIENT)
    page.goto(f"{airflow.url}/flowmate/links/new/clerk?tenant=ada&method=consent")
    page.fill("input[name=username]", USER)  # only a user of Airflow may link for others
    page.fill("input[name=password]", PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", name="Link The Clerk")).to_be_visible()
    expect(page.get_by_text("To go on reading when you are away.")).to_be_visible()
    page.get_by_label("Server").fill(oidc.url)
    page.get_by_label("Address of the books").fill(f"{oidc.url}/records")
    page.get_by_role("button", name="Continue to The Clerk").click()
    # Each connector and tenant has an address of its own for the way back, which the provider does not know yet.
    expect(page.get_by_text("redirect_uri did not match")).to_be_visible()
    oidc.allow(f"{airflow.url}/flowmate/links/callback/clerk/{context_of('ada', 'clerk', 'consent')}")
    page.go_back()
    page.get_by_label("Server").fill(oidc.url)
    page.get_by_label("Address of the books").fill(f"{oidc.url}/records")
    page.get_by_role("button", name="Continue to The Clerk").click()
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_text("The Clerk is linked.")).to_be_visible()

    assert names_for(airflow, "ada") == ["Ada", "Grace"]
    assert '"refresh_token": "***"' in airflow.get("connections/flowmate.clerk.ada")["extra"]


def test_a_customer_opens_a_magic_link(airflow: Client, books: str, oauth1_server: OAuth1Server, page: Page) -> None:
    application(airflow, oauth1_server.consumer_key, oauth1_server.consumer_secret)
    made = signed_in(airflow).post(
        f"{airflow.url}/flowmate/api/v1/magic-links", json={"tenant": "grace", "connectors": ["clerk"]}, timeout=60
    )
    assert made.status_code == 201, made.text

    page.goto(made.json()["url"])
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("link", name="Log in (OAuth 1)").click()
    page.get_by_label("Server").fill(oauth1_server.url)
    page.get_by_label("Address of the books").fill(f"{oauth1_server.url}/records")
    page.get_by_role("button", name="Continue to The Clerk").click()
    expect(page.get_by_text("The Clerk is linked.")).to_be_visible()
    assert names_for(airflow, "grace") == ["Ada", "Bo"]

    other = requests.get(made.json()["url"], timeout=60)
    assert other.status_code == 403  # it belongs to the browser that has opened it


def test_a_script_links_a_client_of_the_tenants_own(
    airflow: Client, local_airflow: LocalAirflow, books: str, oidc: Oidc
) -> None:
    fields = {"client_id": MACHINE[0], "client_secret": MACHINE[1], "server": oidc.url, "api": f"{oidc.url}/records"}
    add_link(local_airflow, "robot", "machine", **fields)
    assert names_for(airflow, "robot") == ["Ada", "Grace"]
    assert oidc.counted["grants"] == {"client_credentials": 1}  # the token of the link was still good


def test_a_script_links_by_a_key_that_signs(
    airflow: Client, local_airflow: LocalAirflow, books: str, nasty: Nasty
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    nasty.public_key = pem(key.public_key())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    fields = {"client_id": nasty.client_id, "private_key": private, "server": nasty.url}
    add_link(local_airflow, "notary", "signed", **fields, api=f"{nasty.url}/records")
    assert names_for(airflow, "notary") == ["Ada", "Bo"]

    nasty.expire()  # by the provider's clock only: the step is told that its token is refused, the next one asks anew
    run_id = airflow.trigger("books", {"tenant": "notary"})
    assert airflow.wait_for_run("books", run_id) == "failed"
    assert "the books answer 401" in airflow.logs("books", run_id, "books")


def test_an_application_that_embeds_links_with_a_password(
    airflow: Client, local_airflow: LocalAirflow, books: str, nasty: Nasty
) -> None:
    token = jwt.encode({"sub": "bob", "exp": int(time.time()) + 300}, embedding_key(local_airflow), "RS256")
    api, signed = f"{airflow.url}/flowmate/api/v1", {"Authorization": f"Bearer {token}"}

    listed = requests.get(f"{api}/connectors", headers=signed, timeout=60).json()
    assert "clerk" in {each["name"] for each in listed}
    fields = {"username": nasty.user[0], "password": "wrong", "server": nasty.url, "api": f"{nasty.url}/records"}
    body: dict[str, Any] = {"connector": "clerk", "method": "session", "fields": fields}
    refused = requests.post(f"{api}/links", json=body, headers=signed, timeout=60)
    assert (refused.status_code, "wrong" in refused.text) == (422, False)
    fields["password"] = nasty.user[1]
    linked = requests.post(f"{api}/links", json=body, headers=signed, timeout=60)
    assert linked.status_code == 201, linked.text

    assert names_for(airflow, "bob") == ["Ada", "Bo"]
    first = wait_until("the first run", lambda: run_of(airflow, "bob"))
    assert airflow.wait_for_run("first_books", first) == "success"
    assert len(nasty.called("/session")) == 2

    unlinked = requests.delete(f"{api}/links/clerk", headers=signed, timeout=60)
    assert unlinked.status_code == 200, unlinked.text
    assert airflow.request("GET", "connections/flowmate.clerk.bob").status_code == 404
    run_id = airflow.trigger("books", {"tenant": "bob"})
    assert airflow.wait_for_run("books", run_id) == "failed"
    assert "has not linked" in airflow.logs("books", run_id, "tenant")


def signed_in(airflow: Client) -> requests.Session:
    """A session of an Airflow user."""
    airflow.get("dags")
    return airflow._session


def run_of(airflow: Client, tenant: str) -> str | None:
    """The run of the flow that has a first run on link."""
    runs = airflow.get("dags/first_books/dagRuns", limit=100)["dag_runs"]
    return next((run["dag_run_id"] for run in runs if run["conf"].get("tenant") == tenant), None)


def embedding_key(local: LocalAirflow) -> str:
    """The private key of the application that embeds FlowMate; Airflow has the public one."""
    key = rsa.generate_private_key(65537, 2048)
    Path(local.environment["AIRFLOW__FLOWMATE__EMBEDDING_KEYS"]).write_text(pem(key.public_key()))
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def pem(key: Any) -> str:
    """A public key as PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
