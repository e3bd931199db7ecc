"""The Node runner as the host meets it: a process in a component's work folder, NDJSON in and out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flowmate_airflow

RUNNER = Path(flowmate_airflow.__file__).parent / "protocols" / "node" / "runner.js"
DEADLINE = 60
"""Seconds after which a run counts as hanging; none of them comes near."""


def node_binary() -> str | None:
    """Return the Node to test with: what NODE names, else the one on the PATH."""
    return os.environ.get("NODE") or shutil.which("node")


@dataclass
class Ran:
    """What one run printed."""

    code: int
    events: list[dict[str, Any]]
    stderr: str

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def data(self) -> list[Any]:
        return [event["message"]["data"] for event in self.of("MESSAGE")]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return self.of("ERROR")

    @property
    def error(self) -> dict[str, Any]:
        (error,) = self.errors
        return error

    @property
    def results(self) -> list[str]:
        return [event["id"] for event in self.of("RESULT")]

    @property
    def logs(self) -> list[tuple[str, str]]:
        return [(event["level"], event["message"]) for event in self.of("LOG")]

    @property
    def log(self) -> str:
        return "\n".join(message for _, message in self.logs)

    @property
    def kinds(self) -> list[str]:
        """The kinds of its events in order, without the log."""
        return [event["type"] for event in self.events if event["type"] != "LOG"]


def stdin_of(
    messages: Iterable[Any] = (),
    config: Mapping[str, Any] | None = None,
    credentials: Mapping[str, Any] | None = None,
    state: Any = None,
    on_error: str = "fail",
    settings: Mapping[str, Any] | None = None,
) -> str:
    """Return the whole stdin of a run.

    :param messages: each is a whole message (it has `id`), or data; data gets the ids 1, 2, and so on
    """
    context = {
        "flow": "orders",
        "step": "save",
        "run_id": "run1",
        "try_number": 1,
        "on_error": on_error,
        "settings": settings or {},
    }
    lines: list[dict[str, Any]] = [
        {"type": "CONFIG", "config": config or {}, "credentials": credentials or {}, "state": state, "context": context}
    ]
    for number, message in enumerate(messages, start=1):
        whole = isinstance(message, dict) and "id" in message
        lines.append({"type": "MESSAGE", "message": message if whole else {"id": str(number), "data": message}})
    return "".join(json.dumps(line) + "\n" for line in lines)


def run_runner(folder: Path, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
    """Run the runner in a component's folder to its end; every line of its stdout must be an event."""
    done = subprocess.run(
        [str(node_binary()), str(RUNNER), *arguments],
        input=stdin.encode(),
        capture_output=True,
        cwd=folder,
        timeout=DEADLINE,
        env={**os.environ, **(env or {})},
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return Ran(done.returncode, events, done.stderr.decode())


class Component:
    """A component that a test writes: functions by name, each the source of a module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.describe = {"title": "Sample", "triggers": {}, "actions": {}}

    def file(self, name: str, text: str) -> Component:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return self

    def sdk(self, name: str, version: str) -> Component:
        """Make it one that is written for an SDK."""
        return self.file("package.json", json.dumps({"name": "sample", "dependencies": {name: version}}))

    def sailor(self) -> Component:
        return self.sdk("elasticio-sailor-nodejs", "2.7.8")

    def action(self, body: str, name: str = "act", kind: str = "actions", **more: Any) -> Component:
        """Add an action; `body` is the body of its `async process`, or a whole module if it says `exports`."""
        self.describe[kind][name] = {"main": f"./lib/{name}.js", "title": name, **more}  # type: ignore[index]
        whole = "exports" in body
        head = "exports.process = async function (msg, cfg, snapshot, headers, tokenData) {\n"
        return self.file(f"lib/{name}.js", body if whole else head + body + "\n};\n").save()

    def trigger(self, body: str, name: str = "pull", **more: Any) -> Component:
        return self.action(body, name, "triggers", **more)

    def save(self) -> Component:
        return self.file("component.json", json.dumps(self.describe))

    def run(self, name: str, messages: Iterable[Any] = (), **given: Any) -> Ran:
        return self.verb("run", name, messages=messages, **given)

    def verb(self, *arguments: str, env: Mapping[str, str] | None = None, **given: Any) -> Ran:
        return run_runner(self.folder, *arguments, stdin=stdin_of(**given), env=env)
