"""A step that outlives its token: the component asks, Airflow is asked again, and what fails then is told apart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from played import Behaviour, Played, manifest, message

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.batches.batch import BatchValue, BatchWriter, read_batch
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.inputs import NOTHING, Input
from flowmate_airflow.steps.memory import NoMemory
from flowmate_airflow.steps.pairs import Pair
from flowmate_airflow.steps.renewing import MAX_RENEWALS, PAUSE, Pace
from flowmate_airflow.steps.session import Place, Session
from flowmate_airflow.store.deadletters import DeadLetter

OAUTH = {"type": "oauth2", "grant": "client_credentials", "token_url": "https://login.example.com/token"}
SESSION = {"type": "session", "login": {"url": "https://api.example.com/login"}, "token_path": "token"}
KEY = {"type": "api_key"}
LATER = 4e9
ASK = {"type": "CREDENTIALS"}


def oauth(**auth: Any) -> Manifest:
    return manifest(auth=auth or {"oauth": OAUTH})


def view(token: str, expires_at: Any = LATER) -> Account:
    return Account("acme", password=token, extra={"flowmate": {"connector": "acme", "expires_at": expires_at}})


class Airflow:
    """Gives another token each time it is asked."""

    def __init__(self, *answers: Account | StepError) -> None:
        self.asked: list[Account | None] = []
        self._answers = iter(answers)

    def __call__(self, rejected: Account | None) -> Account:
        self.asked.append(rejected)
        answer = next(self._answers)
        if isinstance(answer, StepError):
            raise answer
        return answer


class Letters(NoMemory):
    def __init__(self) -> None:
        super().__init__()
        self.kept: list[DeadLetter] = []

    def keep_letters(self, letters: Any) -> None:
        self.kept += letters


class Step:
    """One step of a flow, with a component that is played."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log: list[str] = []
        self.memory = Letters()

    def session(
        self,
        runtime: Played,
        airflow: Airflow | None = None,
        *,
        use: str = "acme/get",
        connector: Manifest | None = None,
        account: Account | None = None,
        **parts: Any,
    ) -> Session:
        run = StepRun("f", "r", use.partition("/")[2])
        call = StepCall(connector or oauth(), use, run, {}, account=account or view("token-1"), **parts)
        place = Place(runtime, "process")
        return Session(call, place, self.memory, lambda level, text: self.log.append(text), renew=airflow)

    def writer(self) -> BatchWriter:
        return BatchWriter(Storage(str(self._folder), ("f", "r", "s"), 1), 65536)

    def run(
        self, behaviour: Behaviour, airflow: Airflow | None = None, source: Input = NOTHING, **options: Any
    ) -> BatchValue:
        return self.session(Played(behaviour), airflow, **options).run(source, self.writer())


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowmate_airflow.steps.renewing.PAUSE", 0.0)


def data_of(value: BatchValue) -> list[Any]:
    return [each["data"] for each in read_batch(value)]


def given(*data: str) -> Input:
    lines = [b'{"id":"%d","data":"%s"}' % (n, each.encode()) for n, each in enumerate(data, start=1)]
    return Input(lambda: iter(lines), fingerprint=repr(data))


def asking(*, rejected: bool = False) -> Behaviour:
    """Return a component that asks for new credentials once, and tells all lines of its input."""

    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        yield message(next(lines)["credentials"])
        yield {**ASK, "rejected": True} if rejected else ASK
        for line in lines:
            yield message(line)

    return play


@pytest.mark.parametrize("auth", [OAUTH, SESSION], ids=["oauth2", "session"])
def test_a_component_gets_new_credentials_when_it_asks(step: Step, auth: dict[str, Any]) -> None:
    airflow = Airflow(view("token-2", LATER + 1))
    value = step.run(asking(), airflow, connector=oauth(own=auth))
    name = "access_token" if auth is OAUTH else "token"
    assert data_of(value) == [
        {"auth": "own", "expires_at": LATER, name: "token-1"},
        {"type": "CREDENTIALS", "credentials": {"auth": "own", "expires_at": LATER + 1, name: "token-2"}},
        {"type": "END"},
    ]
    assert airflow.asked == [None]


def test_a_token_that_was_refused_is_named_to_airflow(step: Step) -> None:
    airflow = Airflow(view("token-2"))
    step.run(asking(rejected=True), airflow)
    assert airflow.asked == [view("token-1")]


def test_the_second_request_is_about_the_second_token(step: Step) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        for _ in range(2):
            yield {**ASK, "rejected": True}
            next(lines)

    airflow = Airflow(view("token-2"), view("token-3"))
    step.run(play, airflow)
    assert airflow.asked == [view("token-1"), view("token-2")]


def test_the_end_of_the_messages_is_told_by_a_line(step: Step) -> None:
    airflow = Airflow(view("token-2"))
    value = step.run(asking(), airflow, given("a", "b"), use="acme/put")
    kinds = [each["type"] for each in data_of(value)[1:]]
    assert sorted(kinds) == ["CREDENTIALS", "END", "MESSAGE", "MESSAGE"]
    assert kinds[-1] == "END"


@pytest.mark.parametrize(
    ("connector", "renews"),
    [
        (oauth(), True),
        (oauth(own=KEY), False),
        (oauth(own=OAUTH, key={"type": "basic"}), True),
        (oauth(own={"required": {"access_token": "password"}}), False),
    ],
)
def test_only_what_is_renewed_without_a_person_keeps_stdin_open(step: Step, connector: Manifest, renews: bool) -> None:
    seen: list[dict[str, Any]] = []

    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        seen.extend(lines)
        return iter(())

    played = Played(play)
    step.session(played, Airflow(), connector=connector).run(NOTHING, step.writer())
    assert ("renews" in seen[0]["context"], len(seen), played.jobs[0].keeps_stdin) == (renews, 1 + renews, renews)


def test_where_nobody_can_be_asked_the_component_is_not_told_that_it_may(step: Step) -> None:
    value = step.run(lambda lines: iter([message(next(lines)["context"])]))
    assert "renews" not in data_of(value)[0]


def test_asking_all_the_same_fails_the_step(step: Step) -> None:
    airflow = Airflow()
    with pytest.raises(ConfigFailure, match="asks for new credentials, and its context did not say `renews`"):
        step.run(asking(), airflow, connector=oauth(own=KEY))
    assert airflow.asked == []


@pytest.mark.parametrize("failure", [ConfigFailure("log in again"), TransientFailure("come back later")])
def test_what_keeps_airflow_from_answering_ends_the_step(step: Step, failure: StepError) -> None:
    with pytest.raises(type(failure), match=str(failure)):
        step.run(asking(), Airflow(failure))


def test_both_steps_of_a_pair_may_ask(step: Step) -> None:
    first, second = Airflow(view("token-2")), Airflow(view("token-b"))

    def source(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield message("before")
        yield ASK
        while (line := next(lines))["type"] != "CREDENTIALS":
            pass
        yield message(line["credentials"]["access_token"])

    def target(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        asked = False
        for line in lines:
            if line["type"] == "MESSAGE":
                yield message(line["message"]["data"])
                if not asked:
                    asked = True
                    yield ASK
            elif line["type"] == "CREDENTIALS":
                yield message(line["credentials"]["access_token"])

    left = step.session(Played(source), first)
    right = step.session(Played(target), second, use="acme/put")
    value = Pair(left, right, when=None, keep_input=False).run(step.writer())
    assert sorted(data_of(value)) == ["before", "token-2", "token-b"]


def refused(failure_type: str = "config") -> Behaviour:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield {"type": "ERROR", "message": "401", "failure_type": failure_type}
        yield 78

    return play


def ending(code: int) -> Behaviour:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield code

    return play


@pytest.mark.parametrize("behaviour", [refused(), ending(78), ending(1)], ids=["error", "exit code", "crash"])
def test_what_fails_after_the_token_is_over_is_tried_again_and_says_so(step: Step, behaviour: Behaviour) -> None:
    with pytest.raises(TransientFailure, match="its access token was over by then; a retry gets a new one"):
        step.run(behaviour, account=view("token-1", time.time() - 1))


def test_what_fails_after_a_message_was_refused_for_its_token_is_tried_again(step: Step) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        own = next(lines)["message"]
        yield {"type": "ERROR", "id": own["id"], "message": "401", "failure_type": "config"}
        yield 78

    with pytest.raises(TransientFailure, match=r"message 1: 401 .*access token was over"):
        step.run(play, source=given("a"), use="acme/put", account=view("token-1", time.time() - 1))


@pytest.mark.parametrize("expires_at", [LATER, None, "soon", True, [], float("nan")])
def test_what_fails_with_a_token_that_is_not_over_is_what_it_is(step: Step, expires_at: Any) -> None:
    with pytest.raises(ConfigFailure, match="401") as caught:
        step.run(refused(), account=view("token-1", expires_at))
    assert "over by then" not in str(caught.value)


def test_the_new_token_counts_when_the_component_fails_later(step: Step) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield ASK
        next(lines)
        yield 78

    with pytest.raises(ConfigFailure) as caught:
        step.run(play, Airflow(view("token-2")), account=view("token-1", time.time() - 1))
    assert "over by then" not in str(caught.value)


def test_no_token_of_any_time_is_kept_with_a_message_that_failed(step: Step) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield ASK
        line = next(lines)
        while line["type"] != "MESSAGE":
            line = next(lines)
        text = "refused token-1 and token-2"
        yield {"type": "ERROR", "id": line["message"]["id"], "message": text, "failure_type": "config"}
        assert next(lines) == {"type": "END"}

    step.run(play, Airflow(view("token-2")), given("a"), use="acme/put", on_error="dead_letter")
    assert [each.error for each in step.memory.kept] == ["refused *** and ***"]


def test_foreign_components_get_no_word_of_ours(step: Step) -> None:
    foreign = manifest(
        protocol="singer",
        singer={"discover": False},
        auth={"oauth": OAUTH},
        triggers={"read": {"title": "Read"}},
        actions={},
    )
    run = StepRun("f", "r", "s")
    call = StepCall(foreign, "acme/read", run, {}, account=view("token-1"), renews=True)
    request = call.request()
    assert request.credentials == {"access_token": "token-1"}
    assert "renews" not in request.context


@pytest.mark.parametrize("form", [str, lambda text: text.encode().hex(), lambda text: json.dumps(json.dumps(text))])
def test_what_a_component_says_is_told_without_secrets(step: Step, form: Callable[[str], str]) -> None:
    token = 'to"ken-1-of-the-account'

    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield {"type": "LOG", "message": f"log {form(token)}"}
        yield {"type": "PROGRESS", "done": 1, "text": f"progress {form(token)}"}
        yield f"text {form(token)}".encode()
        yield {"type": "ERROR", "message": f"error {form(token)}", "failure_type": "config"}
        yield 78

    with pytest.raises(ConfigFailure) as caught:
        step.run(play, account=view(token))
    told = "\n".join([*step.log, str(caught.value)])
    assert "ken-1" not in told
    assert form(token)[:12] not in told
    assert [word for word in ("log", "progress", "text", "error") if word not in told] == []


def test_a_broken_line_is_told_without_half_a_secret(step: Step) -> None:
    def play(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield b'{"type":"MESSAGE", ' + b" " * 80 + b"token-" + b"1" * 100

    with pytest.raises(ConfigFailure, match="broken JSON") as caught:
        step.run(play, account=view("token-" + "1" * 100))
    assert "oken" not in str(caught.value).split("broken JSON")[1]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr("flowmate_airflow.steps.renewing.PAUSE", PAUSE)
    made = Pace(lambda: clock.now, clock.sleep)
    return lambda: made.step("s")


def test_who_asks_too_quickly_waits(clock: Clock, pace: Callable[[], None]) -> None:
    pace()
    clock.now += 0.25
    pace()
    clock.now += 5
    pace()
    assert clock.slept == [0.75]


def test_who_asks_too_often_fails(pace: Callable[[], None]) -> None:
    for _ in range(MAX_RENEWALS):
        pace()
    with pytest.raises(ConfigFailure, match="step `s`: its component asked for new credentials more than 1,000 times"):
        pace()
