"""What follows links in a server: beside its threads, once for each link, and whatever goes wrong with one."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

import pytest

from flowmate_airflow.auth import following
from flowmate_airflow.auth.following import MAX_THREADS, Follower
from flowmate_airflow.catalog.catalog import Catalog


class Work:
    """Takes as long as a test says."""

    def __init__(self) -> None:
        self.begun: queue.Queue[tuple[str, str, str]] = queue.Queue()
        self.go = threading.Event()

    def __call__(self, _: Catalog, tenant: str, connector: str) -> None:
        self.begun.put((tenant, connector, threading.current_thread().name))
        assert self.go.wait(60)
        if tenant == "broken":
            raise ZeroDivisionError("secret")


def test_few_are_followed_at_once_and_each_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    work, catalog = Work(), Catalog(tmp_path)
    follower = Follower(work)
    for tenant in ("broken", "b", "c", "d", "c"):
        assert follower.follow(catalog, tenant, "shop")
    first = [work.begun.get(timeout=60) for _ in range(MAX_THREADS)]
    assert work.begun.empty()
    work.go.set()
    rest = [work.begun.get(timeout=60) for _ in range(4 - MAX_THREADS)]
    assert sorted(tenant for tenant, *_ in first + rest) == ["b", "broken", "c", "d"]
    assert {name for *_, name in first + rest} == {"flowmate-links"}
    assert follower.follow(catalog, "later", "shop")
    assert work.begun.get(timeout=60)[0] == "later"
    assert work.begun.empty()
    assert "What follows the link of broken to shop failed: ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


def test_no_more_wait_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(following, "MAX_WAITING", 3)
    work, catalog = Work(), Catalog(tmp_path)
    follower = Follower(work)
    for number in range(MAX_THREADS):
        assert follower.follow(catalog, f"begun {number}", "shop")
        work.begun.get(timeout=60)
    assert [follower.follow(catalog, tenant, "shop") for tenant in "abcda"] == [True, True, True, False, True]
    work.go.set()
    assert "The link of the tenant d to shop is not asked what it has" in caplog.text
