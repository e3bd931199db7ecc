"""What the commands that change the store share: a question before, and how moments and places are written."""

from __future__ import annotations

import re
import sys
from datetime import datetime

from flowmate_airflow.cli.errors import CommandError, UsageError

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost.

    :param yes: it was answered on the command line
    :raises UsageError: nobody can be asked
    :raises CommandError: the answer is no
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Add --yes: there is nobody to ask")
    print(f"{question} (y/n) ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed")


def moment(value: datetime) -> str:
    """Return a moment for people, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


def place(flow: str, step: str, tenant: str) -> str:
    """Return a step for people."""
    return f"{flow} {step}" + (f" (tenant {tenant})" if tenant else "")


def plain(text: str) -> str:
    """Return a text of another system, of several lines, without what steers a terminal or cannot be printed."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def indented(text: str) -> str:
    """Return the lines of :func:`plain` text, indented."""
    return "\n".join(f"  {line}" for line in plain(text).split("\n"))
