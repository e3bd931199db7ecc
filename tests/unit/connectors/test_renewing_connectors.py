"""New credentials for connectors that run longer than their token is good for: the SDK, and `http` on top of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from connector_process import CONNECTORS, DEADLINE, PYTHON, Run, environment
from http_service import Reply, Request, Service

Author = Callable[[str], Path]
ASK = {"type": "CREDENTIALS"}
REJECTED = {**ASK, "rejected": True}


class Host:
    """The host's side of the pipes of one connector."""

    def __init__(self, process: Any) -> None:
        self._process = process

    def config(self, token: str, *, renews: bool = True, **parts: Any) -> None:
        context = {"renews": True} if renews else {}
        self.send(
            {"type": "CONFIG", "credentials": {"auth": "oauth", "access_token": token}, "context": context, **parts}
        )

    def send(self, *lines: dict[str, Any]) -> None:
        self._process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        self._process.stdin.flush()

    def message(self, number: int) -> None:
        self.send({"type": "MESSAGE", "message": {"id": str(number), "data": number}})

    def renewed(self, token: str) -> None:
        self.send({**ASK, "credentials": {"auth": "oauth", "access_token": token}})

    def end(self) -> None:
        self.send({"type": "END"})

    def next(self) -> Any:
        """The next event that is no log; of messages the data, None at the end."""
        for line in self._process.stdout:
            event = json.loads(line)
            if event["type"] == "MESSAGE":
                return event["message"]["data"]
            if event["type"] not in ("LOG", "PROGRESS", "RESULT"):
                return event
        return None

    def code(self) -> int:
        """The exit code, with stdin still open."""
        return int(self._process.wait(DEADLINE))

    def close(self) -> None:
        self._process.stdin.close()


@contextmanager
def started(folder: Path, *command: str) -> Iterator[Host]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*PYTHON, *command], cwd=folder, env=environment(), **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Host(process)
        finally:
            process.kill()


@contextmanager
def sample(path: Path, function: str = "work") -> Iterator[Host]:
    with started(path.parent, path.name, "run", function) as host:
        yield host


@contextmanager
def http(function: str) -> Iterator[Host]:
    with started(CONNECTORS / "http", "-m", "connector", "run", function) as host:
        yield host


RENEWING = """
@connector.action('work')
def work(ctx, message):
    old = ctx.credentials
    new = ctx.renew(rejected=old)
    assert new is ctx.credentials
    return [message.data, old['access_token'], new['access_token']]
"""


def test_an_action_gets_new_credentials_and_the_messages_that_came_before_them(author: Author) -> None:
    with sample(author(RENEWING)) as host:
        host.config("a")
        for number in (1, 2):
            host.message(number)
        assert host.next() == REJECTED
        host.renewed("b")
        assert host.next() == [1, "a", "b"]
        assert host.next() == REJECTED
        host.message(3)
        host.renewed("c")
        assert host.next() == [2, "b", "c"]
        host.end()
        assert host.next() == REJECTED
        host.renewed("d")
        assert host.next() == [3, "c", "d"]
        assert host.next() is None
        assert host.code() == 0


def test_a_trigger_gets_new_credentials_after_the_end_of_its_empty_input(author: Author) -> None:
    path = author("""
@connector.trigger('work')
def work(ctx):
    yield ctx.credentials['access_token']
    yield ctx.renew()['access_token']
""")
    with sample(path) as host:
        host.config("a")
        host.end()
        assert host.next() == "a"
        assert host.next() == ASK
        host.renewed("b")
        assert host.next() == "b"
        assert host.code() == 0


def test_threads_ask_once_for_all_while_another_one_waits_for_messages(author: Author) -> None:
    path = author("""
import threading
from concurrent.futures import ThreadPoolExecutor

@connector.action('work', batch=True)
def work(ctx, messages):
    old = ctx.credentials
    barrier = threading.Barrier(4)
    def renewed(_):
        barrier.wait()
        return ctx.renew(rejected=old)['access_token']
    with ThreadPoolExecutor(5) as pool:
        read = pool.submit(lambda: [message.data for message in messages])
        yield list(pool.map(renewed, range(4)))
        yield read.result()
""")
    with sample(path) as host:
        host.config("a")
        assert host.next() == REJECTED
        host.message(1)
        host.renewed("b")
        assert host.next() == ["b"] * 4
        host.message(2)
        host.end()
        assert host.next() == [1, 2]
        assert host.code() == 0


def test_without_another_one_to_get_it_is_a_config_error(author: Author) -> None:
    with sample(author(RENEWING)) as host:
        host.config("a", renews=False)
        host.message(1)
        host.close()
        error = host.next()
        assert (error["failure_type"], "there are no newer ones" in error["message"]) == ("config", True)
        assert host.code() == 78


def test_a_host_that_ends_the_run_instead_is_told_apart(author: Author) -> None:
    with sample(author(RENEWING)) as host:
        host.config("a")
        host.message(1)
        assert host.next() == REJECTED
        host.close()
        error = host.next()
        assert (error["failure_type"], error["message"]) == (
            "transient",
            "no new credentials came: the host has ended the run",
        )
        assert host.code() == 75


@pytest.mark.parametrize(
    "line",
    [{"type": "OTHER"}, {"type": "MESSAGE"}, {"type": "CREDENTIALS"}, {"type": "CREDENTIALS", "credentials": "x"}, {}],
)
def test_a_line_that_is_none_of_these_ends_it_without_being_shown(author: Author, line: dict[str, Any]) -> None:
    with sample(author(RENEWING)) as host:
        host.config("a")
        host.send({**line, "note": "s3cret-in-the-line"})
        error = host.next()
        assert error["type"] == "ERROR"
        assert "of the input" in error["message"]
        assert "s3cret" not in error["message"]
        assert host.code() == 1


def test_an_input_that_ends_without_the_line_that_says_so_is_at_its_end(author: Author) -> None:
    path = author("@connector.action('work', batch=True)\ndef work(ctx, messages):\n    yield from messages\n")
    with sample(path) as host:
        host.config("a")
        host.message(1)
        host.close()
        assert host.next() == 1
        assert host.code() == 0


def tokens(service: Service) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in service.requests]


def takes(service: Service, good: str) -> None:
    """Let the service take one token only."""

    def answer(request: Request) -> Reply:
        is_good = request.headers["authorization"] == f"Bearer {good}"
        return Reply({"body": request.json}) if is_good else Reply("token expired", 401)

    service.answer = answer


@pytest.fixture
def picky(service: Service) -> Service:
    takes(service, "good")
    return service


def config(service: Service, **credentials: Any) -> dict[str, Any]:
    return {"config": {"url": f"{service.url}/rows"}, **credentials}


def test_http_repeats_a_request_that_was_refused_with_a_new_token(picky: Service) -> None:
    with http("post") as host:
        host.config("old", **config(picky))
        host.message(1)
        assert host.next() == REJECTED
        host.renewed("good")
        assert host.next() == {"body": 1}
        host.message(2)
        assert host.next() == {"body": 2}
        takes(picky, "better")
        host.message(3)
        assert host.next() == REJECTED
        host.renewed("better")
        assert host.next() == {"body": 3}
        host.end()
        assert host.code() == 0
    assert tokens(picky) == ["old", "good", "good", "good", "better"]


def test_http_goes_on_with_the_page_at_which_its_token_was_over(service: Service) -> None:
    def answer(request: Request) -> Any:
        page = int(request.query["page"])
        if page == 2 and request.headers["authorization"] == "Bearer old":
            return Reply("over", 401)
        return [page] if page < 4 else []

    service.answer = answer
    with http("get") as host:
        host.config("old", config={"url": service.url, "paging": {"type": "page"}})
        host.end()
        assert host.next() == 1
        assert host.next() == REJECTED
        host.renewed("new")
        assert [host.next() for _ in range(3)] == [2, 3, None]
        assert host.code() == 0
    assert [request.query["page"] for request in service.requests] == ["1", "2", "2", "3", "4"]


def test_http_asks_once_for_a_request_that_stays_refused(picky: Service) -> None:
    with http("post") as host:
        host.config("old", **config(picky))
        host.message(1)
        assert host.next() == REJECTED
        host.renewed("as bad")
        error = host.next()
        assert (error["failure_type"], error["id"]) == ("config", "1")
        assert "answered 401" in error["message"]
        assert host.code() == 78
    assert tokens(picky) == ["old", "as bad"]


def test_http_keeps_a_new_token_at_home(picky: Service, other_service: Service) -> None:
    credentials = {"auth": "oauth", "access_token": "good", "baseUrl": other_service.url}
    with http("post") as host:
        host.config("old", **config(picky))
        host.message(1)
        assert host.next() == REJECTED
        host.send({**ASK, "credentials": credentials})
        assert host.next() == {"body": 1}
    assert other_service.requests == []


@pytest.mark.parametrize(
    ("credentials", "header"),
    [
        ({"auth": "oauth", "access_token": "t-1"}, ("authorization", "Bearer t-1")),
        ({"auth": "login", "token": "t-1"}, ("authorization", "Bearer t-1")),
        ({"auth": "own", "key": "t-1", "headerName": "X-Own"}, ("x-own", "t-1")),
    ],
)
def test_http_knows_methods_of_other_manifests_by_what_they_give(
    run_http: Run, service: Service, credentials: dict[str, Any], header: tuple[str, str]
) -> None:
    assert run_http("get", {"url": service.url}, credentials=credentials).code == 0
    assert service.requests[0].headers[header[0]] == header[1]


def test_http_sends_nothing_for_a_method_that_gives_nothing_it_knows(run_http: Run, service: Service) -> None:
    done = run_http("get", {"url": service.url}, credentials={"auth": "oauth", "jwt": "t-1"})
    assert (done.code, service.requests) == (78, [])
    assert "auth method is 'oauth'" in done.errors[0].text
