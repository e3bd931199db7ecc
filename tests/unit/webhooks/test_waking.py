"""The receiver asks for a run once for what waits, and nothing that fails there harms a delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from flowmate_airflow.webhooks import waking
from flowmate_airflow.webhooks.waking import Waking


class Airflow:
    """What waits at each endpoint, and what was asked for."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[str, str], list[int]] = {}
        self.woken: list[str] = []
        self.broken = False

    def first(self, endpoint: str, tenant: str) -> int | None:
        if self.broken:
            raise OSError("the database is gone")
        return min(self.waiting.get((endpoint, tenant), []), default=None)

    def wake(self, endpoint: str) -> None:
        self.woken.append(endpoint)


def play(airflow: Airflow, *steps: Callable[[Waking], None]) -> list[str]:
    """Return what was asked for, when each step is taken after the one before has been dealt with."""

    async def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            own = Waking(airflow.first, airflow.wake, pool)
            for step in steps:
                step(own)
                await own.close()

    asyncio.run(run())
    return airflow.woken


def stored(airflow: Airflow, endpoint: str, *numbers: int, tenant: str = "") -> Callable[[Waking], None]:
    def step(own: Waking) -> None:
        airflow.waiting.setdefault((endpoint, tenant), []).extend(numbers)
        own.stored(endpoint, tenant, numbers)

    return step


def taken(airflow: Airflow, endpoint: str) -> Callable[[Waking], None]:
    return lambda own: airflow.waiting[endpoint, ""].clear()


def test_a_burst_asks_once_and_what_comes_after_a_run_took_it_asks_again(monkeypatch) -> None:
    monkeypatch.setattr(waking, "PAUSE", 0)
    airflow = Airflow()
    burst = [stored(airflow, "orders", number) for number in range(1, 50)]
    assert play(airflow, *burst) == ["orders"]
    assert play(airflow, taken(airflow, "orders"), stored(airflow, "orders", 50)) == ["orders", "orders"]


def test_what_another_process_stored_first_is_its_to_ask_for(monkeypatch) -> None:
    monkeypatch.setattr(waking, "PAUSE", 0)
    airflow = Airflow()
    airflow.waiting["orders", ""] = [1]
    assert play(airflow, stored(airflow, "orders", 2), stored(airflow, "bills", 3)) == ["bills"]


def test_a_database_that_is_gone_is_left_to_the_triggerer(monkeypatch) -> None:
    monkeypatch.setattr(waking, "PAUSE", 0)
    airflow = Airflow()
    airflow.broken = True

    def heal(own: Waking) -> None:
        airflow.broken = False

    assert play(airflow, stored(airflow, "orders", 1), heal, stored(airflow, "bills", 2)) == ["bills"]


def test_trouble_is_told_once_until_it_is_over(monkeypatch, caplog) -> None:
    monkeypatch.setattr(waking, "PAUSE", 0)
    airflow = Airflow()
    airflow.broken = True

    def heal(own: Waking) -> None:
        airflow.broken = not airflow.broken

    many = [stored(airflow, "orders", number) for number in range(5)]
    play(airflow, *many, heal, stored(airflow, "bills", 6), heal, *many)
    assert caplog.text.count("could not be asked for at once: OSError") == 2


def test_the_events_of_all_tenants_ask_once(monkeypatch) -> None:
    monkeypatch.setattr(waking, "PAUSE", 0)
    airflow = Airflow()

    def burst(own: Waking) -> None:
        for number in range(1, 50):
            stored(airflow, "orders", number, tenant=f"t{number}")(own)

    assert play(airflow, burst) == ["orders"]


def test_what_a_tenant_left_waiting_keeps_no_other_from_its_run(monkeypatch) -> None:
    monkeypatch.setattr(waking, "PAUSE", 0)
    airflow = Airflow()
    airflow.waiting["orders", "a"] = [1]
    assert play(airflow, stored(airflow, "orders", 2, tenant="a")) == []
    assert play(airflow, stored(airflow, "orders", 3, tenant="a"), stored(airflow, "orders", 4, tenant="b")) == [
        "orders"
    ]
