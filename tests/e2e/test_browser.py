"""What somebody sees of a flow in Airflow's UI, with a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from harness import PATIENCE, Client, wait_until
from local_airflow import PASSWORD, USER
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as BrowserTimeoutError

FLOW = """
flowmate: 1
title: Seen by a person
defaults: {retries: 0}
steps:
  - {id: made, title: Make numbers, use: probe/emit, with: {count: 3}}
  - {id: doubled, title: Double each, map: '{"double": data.number * 2}'}
"""
BROKEN = "flowmate: 1\nsteps:\n  - {id: one, use: probe/emitt, with: {count: 1}}\n"


@pytest.fixture(scope="module")
def page(airflow: Client, browser: Browser) -> Iterator[Page]:
    """A browser window that is signed in."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(airflow.url)
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Pool Slots").wait_for()
    yield page
    context.close()


@pytest.fixture
def run_url(airflow: Client, flow, no_container_left: None) -> str:
    """The page of a run that has ended."""
    flow.add("seen", FLOW)
    run, state = airflow.run("seen")
    assert state == "success"
    return f"{airflow.url}/dags/seen/runs/{run}"


def test_a_run_can_be_followed_from_its_dag_to_its_messages(airflow: Client, page: Page, run_url: str) -> None:
    page.goto(f"{airflow.url}/dags/seen")
    expect(page.get_by_role("heading", name="Seen by a person")).to_be_visible()

    page.goto(run_url)
    expect(page.get_by_text("2 Task Instances")).to_be_visible()
    page.get_by_role("table").get_by_role("link", name="Make numbers").click()
    expect(page.get_by_text("Running probe/emit 1.0.0")).to_be_visible()
    expect(page.get_by_text("0 messages in, 3 out")).to_be_visible()

    page.goto(f"{run_url}/tasks/made/rendered_templates")
    expect(page.get_by_role("row", name="source")).to_contain_text("probe/emit")

    page.goto(f"{run_url}/tasks/doubled/xcom")
    page.get_by_role("row", name="return_value").get_by_role("button", name="Copy").click()
    batch = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert [message["data"]["double"] for message in batch["messages"]] == [0, 2, 4]


def test_a_broken_flow_is_explained_among_the_import_errors(airflow: Client, page: Page, flow) -> None:
    flow.drop("teams/mistaken.yaml", BROKEN)

    # At each refresh of the dags folder, here every few seconds, Airflow drops the entry until the next parse.
    def look() -> bool | None:
        airflow.wait_for_import_error("teams/mistaken.yaml")
        page.goto(airflow.url)
        try:
            page.get_by_text("Import Error").first.click(timeout=5_000)
            dialog = page.get_by_role("dialog")
            dialog.get_by_text("teams/mistaken.yaml").first.click(timeout=5_000)
            expect(dialog.get_by_text("did you mean `emit`?")).to_be_visible(timeout=5_000)
            place = dialog.get_by_text("teams/mistaken.yaml:3:20: `probe` has no function `emitt`")
            expect(place).to_be_visible(timeout=5_000)
        except (BrowserTimeoutError, AssertionError):
            return None
        return True

    wait_until("the report of the broken flow in the UI", look)
