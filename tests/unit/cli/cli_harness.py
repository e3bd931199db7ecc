"""What the tests of the command line share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class Flowmate(Protocol):
    """Runs a command."""

    def __call__(self, *arguments: str) -> Result: ...


class WriteFlow(Protocol):
    """Writes a flow file and returns its name."""

    def __call__(self, steps: str, name: str = "orders.yaml", head: str = "") -> str: ...
