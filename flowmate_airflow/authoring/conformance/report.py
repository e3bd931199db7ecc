"""What the suite found, for people and for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Status: TypeAlias = Literal["passed", "failed", "skipped"]

_WIDTH = 110
_MARKS: dict[Status, str] = {"passed": "passed ", "failed": "FAILED ", "skipped": "skipped"}


class Failed(Exception):
    """A check found something wrong; the text says what, and what to do where that is known."""


class Skipped(Exception):
    """A check could not be made, or does not apply; the text says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one check.

    :param reason: why it failed or was skipped, or what else is worth knowing
    """

    id: str
    title: str
    status: Status
    reason: str
    seconds: float


def result_lines(result: Result, width: int) -> Iterator[str]:
    """Yield a result for people.

    :param width: of the longest title
    """
    yield f"  {_MARKS[result.status]}  {result.title:<{width}}  {result.seconds:6.1f} s"
    for paragraph in result.reason.splitlines():
        yield from textwrap.wrap(paragraph, _WIDTH, initial_indent=" " * 11, subsequent_indent=" " * 11)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all checks."""

    connector: str
    image: str
    protocol: str
    runtime: str
    results: Sequence[Result]

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something passed."""
        return self.count("failed") == 0 and self.count("passed") > 0

    def count(self, status: Status) -> int:
        """Return how many checks ended so."""
        return sum(result.status == status for result in self.results)

    def head(self) -> str:
        """Return the line that the report begins with."""
        return f"{self.connector}: {self.image}, protocol {self.protocol}, runtime {self.runtime}"

    def foot(self) -> str:
        """Return the line that it ends with."""
        return ", ".join(f"{self.count(status)} {status}" for status in ("passed", "failed", "skipped"))

    def as_dict(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "connector": self.connector,
            "image": self.image,
            "protocol": self.protocol,
            "runtime": self.runtime,
            "passed": self.passed,
            "counts": {status: self.count(status) for status in ("passed", "failed", "skipped")},
            "checks": [
                {
                    "id": result.id,
                    "title": result.title,
                    "status": result.status,
                    "reason": result.reason,
                    "seconds": round(result.seconds, 3),
                }
                for result in self.results
            ],
        }
