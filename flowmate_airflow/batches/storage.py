"""Where the files of large batches lie: a shared folder, or an object storage by URL."""

from __future__ import annotations

import hashlib
import re
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

MAX_NAME = 160
_URL = re.compile(r"^[a-z][a-z0-9+.-]*://")


class Storage:
    """The place of one step's batch file.

    :param base: a folder or a URL, `[flowmate] batch_url`
    :param parts: what makes the place unique: flow, run, step, map index
    :param attempt: the number of the try, so that a retry never writes where a reader may still read
    """

    def __init__(self, base: str, parts: tuple[str, ...], attempt: int) -> None:
        folder = "/".join(map(_folder_name, parts))
        self.href = f"{base.rstrip('/')}/{folder}/{attempt}.jsonl.gz"

    def beside(self, name: str) -> str:
        """Return the place of another file of the same step and try."""
        return f"{self.href.removesuffix('.jsonl.gz')}.{name}"

    def remove(self, parts: int) -> None:
        """Remove the parts of the file that are there."""
        for part in range(1, parts + 1):
            self.remove_one(part_href(self.href, part))

    def remove_one(self, href: str) -> None:
        """Remove a file of this place, if it is there."""
        with suppress(OSError):
            _path(href).unlink()


def part_href(href: str, part: int) -> str:
    """Return the place of a part of a batch's file; the first has the batch's own name."""
    return href if part == 1 else f"{href.removesuffix('.jsonl.gz')}.{part}.jsonl.gz"


def _folder_name(part: str) -> str:
    """Return a part as one safe folder name, whatever is in it; a hash stands for the end of a long one."""
    name = quote(part, safe="+=@,", errors="backslashreplace")
    if not name.strip("."):
        name = name.replace(".", "%2E") or "%"
    if len(name) <= MAX_NAME:
        return name
    return f"{name[:MAX_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def open_write(href: str) -> AbstractContextManager[IO[bytes]]:
    """Return a file opened for writing; its folder is made."""
    path = _path(href)
    path.parent.mkdir(parents=True, exist_ok=True)
    opened: AbstractContextManager[IO[bytes]] = path.open("wb")
    return opened


def open_read(href: str) -> AbstractContextManager[IO[bytes]]:
    """Return a batch file opened for reading."""
    opened: AbstractContextManager[IO[bytes]] = _path(href).open("rb")
    return opened


def remove_file(href: str) -> None:
    """Remove a file, if it is there.

    :raises OSError: it cannot be removed
    """
    with suppress(FileNotFoundError):
        _path(href).unlink()


def _path(href: str) -> Any:
    """Return a path object; only a URL needs Airflow's ObjectStoragePath, which knows its connections."""
    if not _URL.match(href):
        return Path(href)
    from airflow.sdk import ObjectStoragePath

    return ObjectStoragePath(href)
