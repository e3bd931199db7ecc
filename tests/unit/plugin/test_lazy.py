"""The app that is made with the first request."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from flowmate_airflow.plugin.lazy import Lazy


def test_it_is_made_once_for_all_who_ask_at_first() -> None:
    made: list[FastAPI] = []
    ready = threading.Event()

    def make() -> Any:
        ready.wait(30)
        app = FastAPI()
        app.get("/")(lambda: len(made))
        made.append(app)
        return app

    answers: list[int] = []
    with TestClient(Lazy(make)) as client:
        threads = [threading.Thread(target=lambda: answers.append(client.get("/").json())) for _ in range(3)]
        for thread in threads:
            thread.start()
        ready.set()
        for thread in threads:
            thread.join()
    assert answers == [1, 1, 1]


def test_one_that_cannot_be_made_is_tried_again() -> None:
    apps: list[Any] = [RuntimeError("not yet"), FastAPI()]

    def make() -> Any:
        made = apps.pop(0)
        if isinstance(made, Exception):
            raise made
        return made

    client = TestClient(Lazy(make))
    with pytest.raises(RuntimeError, match="not yet"):
        client.get("/")
    assert client.get("/").status_code == 404
