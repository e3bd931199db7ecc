"""The app that is made with the first request."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from flowmate_airflow.plugin.lazy import Lazy


def test_it_is_made_once_for_all_who_ask_at_first() -> None:
    made: list[FastAPI] = []
    begun, ready = threading.Event(), threading.Event()

    def make() -> Any:
        begun.set()
        ready.wait(60)
        app = FastAPI()
        app.get("/")(lambda: len(made))
        made.append(app)
        return app

    async def ask_all() -> list[int]:
        transport = httpx.ASGITransport(Lazy(make))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            asked = [asyncio.create_task(client.get("/")) for _ in range(3)]
            while not begun.is_set():
                await asyncio.sleep(0)
            ready.set()
            return [(await answer).json() for answer in asked]

    assert asyncio.run(ask_all()) == [1, 1, 1]


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
