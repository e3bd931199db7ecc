"""Several processes at one store at the same moment."""

from __future__ import annotations

import os

import pytest
import store_workers
from store_workers import at_once

from flowmate_airflow.store import deadletters, links, states
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.links import LinkScope
from flowmate_airflow.store.states import Place
from flowmate_airflow.store.store import Store, open_store

PLACE = Place("orders", "read")


def letters(count: int) -> list[DeadLetter]:
    return [DeadLetter("orders", "save", "run1", f"m{number}", {"id": f"m{number}"}, "no") for number in range(count)]


@pytest.mark.usefixtures("real_stores")
def test_an_empty_database_that_is_opened_by_many(url: str) -> None:
    calls = [(url, number) for number in range(6)]
    assert at_once(store_workers.open_and_write, calls) == ["written"] * 6
    assert [entry.state for entry in states.list_states(open_store(url))] == list(range(6))


def test_a_state_is_committed_once(store: Store, url: str) -> None:
    states.hold_state(store, PLACE, "run1", {"at": 1})
    assert sorted(at_once(store_workers.commit, [(url, "run1")] * 4)) == [False, False, False, True]
    assert states.read_state(store, PLACE) == {"at": 1}


def test_commits_of_different_runs_leave_one_whole_state(store: Store, url: str) -> None:
    done = at_once(store_workers.commit_many, [(url, name, 25) for name in "abc"])
    # One that was held before another one's commit counts as older and is dropped by it; nothing fails.
    assert all(isinstance(number, int) and 0 < number <= 25 for number in done), done
    state = states.read_state(store, PLACE)
    assert state["by"] in "abc"
    assert 0 <= state["number"] < 25
    assert [entry for entry in states.list_states(store) if entry.held] == []


def test_two_replays_never_take_the_same_letter(store: Store, url: str) -> None:
    deadletters.keep(store, letters(1500))
    ids = [letter.id for letter in deadletters.find(store)]
    taken = at_once(store_workers.claim, [(url, ids, f"replay{number}") for number in range(3)])
    assert sorted(number for numbers in taken for number in numbers) == ids


def test_two_replays_of_all_that_wait_share_it(store: Store, url: str) -> None:
    deadletters.keep(store, letters(1000))
    assert sum(at_once(store_workers.claim_waiting, [(url, f"replay{number}") for number in range(3)])) == 1000


def test_the_same_letters_and_links_from_many(store: Store, url: str) -> None:
    assert at_once(store_workers.keep_and_link, [(url, name) for name in "abc"]) == ["kept"] * 3
    assert deadletters.count_by_step(store)[0].waiting == 2000
    assert len(links.remote_ids(store, LinkScope("erp", "main"), [f"here{n}" for n in range(2000)])) == 2000


def test_a_forked_process_opens_its_own_connections(store: Store, url: str) -> None:
    states.set_state(store, PLACE, "before")
    child = os.fork()
    if child == 0:
        try:
            states.set_state(open_store(url), Place("orders", "child"), "from the child")
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert states.read_state(store, PLACE) == "before"
    assert states.read_state(store, Place("orders", "child")) == "from the child"
