"""Components that are generators: they take parsed lines of stdin as they come and give lines of stdout."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, TypeAlias

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.runtimes.base import Job, Running, Runtime, RuntimeFailure, Stream

Behaviour: TypeAlias = Callable[[Iterator[dict[str, Any]]], Iterator[Any]]
"""Gets the lines of stdin as objects; gives objects, or bytes for other lines; an int at the end is the exit code."""


class Played(Runtime):
    """Plays one behaviour at each start."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.jobs: list[Job] = []
        self.fed: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.left: list[dict[str, bytes]] = []

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages it was fed, at all starts."""
        return [line["message"] for line in self.fed if line["type"] == "MESSAGE"]

    def left_behind(self, job: Job) -> list[dict[str, bytes]]:
        left, self.left = self.left, []
        return left

    @contextmanager
    def start(self, job: Job, feed: Iterable[bytes]) -> Iterator[Running]:
        self.jobs.append(job)
        yield _Run(self, feed)


class _Run(Running):
    def __init__(self, played: Played, feed: Iterable[bytes]) -> None:
        self._played = played
        self._feed = feed
        self._code = 0
        self._sent: list[bytes] = []
        self._stopped = threading.Event()

    def lines(self) -> Iterator[tuple[Stream, bytes]]:
        for given in self._played.behaviour(self._parsed()):
            if self._stopped.is_set():
                return
            if isinstance(given, int):
                self._code = given
            else:
                yield "stdout", given if isinstance(given, bytes) else json.dumps(given, separators=(",", ":")).encode()

    def _parsed(self) -> Iterator[dict[str, Any]]:
        for line in self._feed:
            yield self._taken(line)
            while self._sent:
                yield self._taken(self._sent.pop(0))

    def _taken(self, line: bytes) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(line)
        self._played.fed.append(value)
        return value

    def wait(self) -> int:
        return self._code

    def explain_exit(self) -> str | None:
        return "it was stopped" if self._stopped.is_set() else None

    def read_back(self) -> dict[str, bytes]:
        return {}

    @contextmanager
    def open_file(self, path: str) -> Iterator[IO[bytes]]:
        if path not in self._played.files:
            raise RuntimeFailure(f"the component has no file {path}", retry=False)
        yield io.BytesIO(self._played.files[path])

    def send(self, line: bytes) -> None:
        self._sent.append(line)

    def stop_feeding(self) -> None:
        pass

    def stop(self) -> None:
        self._stopped.set()


def message(data: Any, **parts: Any) -> dict[str, Any]:
    return {"type": "MESSAGE", "message": {"data": data, **parts}}


def manifest(**parts: Any) -> Manifest:
    return Manifest.model_validate(
        {
            "connector": 1,
            "name": "acme",
            "version": "1.0.0",
            "title": "Acme",
            "image": "acme:1",
            "auth": {"key": {"required": {"key": "password"}}},
            "triggers": {"get": {"title": "Get", "state": True, "fields": {"start_date": {"type": "string"}}}},
            "actions": {"put": {"title": "Put"}},
            **parts,
        }
    )
