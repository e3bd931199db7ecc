"""A container's files while the engine misbehaves, on a client that only plays it."""

from __future__ import annotations

import io
import logging
import tarfile
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from flowmate_airflow.runtimes.base import Job, RuntimeFailure
from flowmate_airflow.runtimes.container import Container
from flowmate_airflow.steps.filelines import lines_of


def test_a_connection_that_breaks_while_a_file_is_read_is_worth_another_try() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo("a")
        entry.size = 1_000_000
        archive.addfile(entry, io.BytesIO(b"x\n" * 500_000))

    def chunks() -> Iterator[bytes]:
        yield target.getvalue()[:100_000]
        raise requests.exceptions.ChunkedEncodingError("it broke")

    client: Any = SimpleNamespace(base_url="http+docker://x", get_archive=lambda container, path: (chunks(), {}))
    connection: Any = SimpleNamespace(send=None, close_stdin=None, abort=None)
    container = Container(client, "c", connection, Job("acme:1", ()), (), logging.getLogger("test"))
    with container.open_file("/tmp/a") as raw, pytest.raises(RuntimeFailure) as failure:
        list(lines_of(raw, gzipped=False, limit=100, name="/tmp/a", spend=lambda size: None))
    assert failure.value.retry
