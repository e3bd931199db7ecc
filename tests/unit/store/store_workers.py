"""What several processes do with one store at the same moment."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from flowmate_airflow.store import claims, deadletters, deliveries, endpoints, links, replays, states
from flowmate_airflow.store.claims import Owner
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.deliveries import NewDelivery
from flowmate_airflow.store.links import LinkScope
from flowmate_airflow.store.states import Place
from flowmate_airflow.store.store import open_store

_FORK = multiprocessing.get_context("fork")  # quick; and that it is safe is promised, too


def at_once(work: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return what the calls gave, each made in a process of its own, begun when all of them are ready."""
    barrier = _FORK.Barrier(len(calls))
    results: Any = _FORK.SimpleQueue()
    workers = [
        _FORK.Process(target=_work, args=(barrier, results, number, work, arguments))
        for number, arguments in enumerate(calls)
    ]
    for worker in workers:
        worker.start()
    found = dict(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    return [found[number] for number in range(len(calls))]


def _work(barrier: Any, results: Any, number: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    barrier.wait()
    try:
        results.put((number, work(*arguments)))
    except BaseException as error:
        results.put((number, f"{type(error).__name__}: {error}"))


def open_and_write(url: str, number: int) -> str:
    states.set_state(open_store(url), Place("orders", f"step{number}"), number)
    return "written"


def commit(url: str, run_id: str) -> bool:
    return states.commit_state(open_store(url), Place("orders", "read"), run_id)


def commit_many(url: str, name: str, times: int) -> int:
    store = open_store(url)
    place = Place("orders", "read")
    done = 0
    for number in range(times):
        states.hold_state(store, place, f"{name}{number}", {"by": name, "number": number})
        done += states.commit_state(store, place, f"{name}{number}")
    return done


def claim(url: str, ids: list[int], run_id: str) -> list[int]:
    return replays.claim(open_store(url), ids, run_id)


def claim_waiting(url: str, run_id: str) -> int:
    return replays.claim_waiting(open_store(url), "orders", "save", run_id)


def keep_and_link(url: str, name: str) -> str:
    store = open_store(url)
    letters = [
        DeadLetter("orders", "save", "run1", f"m{number}", {"id": f"m{number}"}, f"by {name}") for number in range(2000)
    ]
    deadletters.keep(store, letters)
    links.remember(store, LinkScope("erp", "main"), ((f"here{n}", f"{name}{n}") for n in range(2000)))
    return "kept"


def token_of(url: str, endpoint: str) -> str:
    return endpoints.token_of(open_store(url), endpoint)


def claim_deliveries(url: str, run_id: str, limit: int, ordered: bool, times: int) -> list[int]:
    """Return what some runs took, one after the other."""
    store = open_store(url)
    taken: list[int] = []
    for number in range(times):
        owner = Owner("orders", f"{run_id}.{number}")
        taken += claims.claim(store, owner, "orders", limit=limit, ordered=ordered)
    return taken


def claim_and_settle(url: str, run_id: str, times: int) -> list[tuple[int, str]]:
    """Return which deliveries a process dealt with, one run after the other, a third of which fail."""
    store = open_store(url)
    done: list[tuple[int, str]] = []
    for number in range(times):
        owner = Owner("orders", f"{run_id}.{number}")
        for number_of in claims.claim(store, owner, "orders", limit=7, ordered=True):
            done.append((number_of, owner.run_id))
        claims.settle(store, owner, ok=number % 3 > 0, max_attempts=100, delay=timedelta(0))
    return done


def deliver(url: str, names: Sequence[str]) -> list[bool]:
    """Return which of some deliveries were new, each pair of them given in one group."""
    store = open_store(url)
    new = [NewDelivery("orders", hashlib.sha256(name.encode()).digest(), b"{}") for name in names]
    pairs = [deliveries.insert(store, new[at : at + 2]) for at in range(0, len(new), 2)]
    return [stored.is_duplicate for pair in pairs for stored in pair]
