"""A JSON document that the user names: a file, or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from flowmate_airflow.cli.errors import UsageError
from flowmate_airflow.store.values import MIB

MAX_FILE = 2 * MIB


def json_file(name: str, flag: str | None = None, *, limit: int = MAX_FILE) -> Any:
    """Return the JSON of a file, or of standard input for `-`.

    :param flag: the option that named it; None: it is the command's own argument
    :param limit: bytes that it may have
    :raises UsageError: it cannot be read, is too large, or is no JSON
    """
    where = "standard input" if name == "-" else name
    told = f"{flag}: {where}" if flag else where
    try:
        if name == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{told} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise UsageError(f"{told} is too large; {limit:,} bytes are allowed")
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        # Not the parser's whole error, which repeats the text: that may have a secret.
        raise UsageError(f"{told} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{told} is not JSON: it is not UTF-8, or is nested too deeply") from None
