"""Records of a stream that a source did not announce: kept where everything was asked for, else left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from played import Played, manifest

from flowmate_airflow.batches.batch import BatchWriter, read_batch
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.inputs import NOTHING
from flowmate_airflow.steps.memory import NoMemory
from flowmate_airflow.steps.reading import Reading
from flowmate_airflow.steps.session import Place, Session

SOURCE = manifest(protocol="airbyte", auth={}, triggers={"read": {"title": "Read"}}, actions={})


class Asked(Played):
    """Answers `discover` with one stream, and reads two."""

    def __init__(self) -> None:
        super().__init__(self._play)

    def _play(self, lines: Iterator[Any]) -> Iterator[Any]:
        if "discover" in self.jobs[-1].arguments:
            stream = {
                "name": "told",
                "json_schema": {"properties": {"n": {}}},
                "supported_sync_modes": ["full_refresh"],
            }
            yield {"type": "CATALOG", "catalog": {"streams": [stream]}}
            return
        for name in ("told", "untold"):
            yield {"type": "RECORD", "record": {"stream": name, "data": {"n": 1}, "emitted_at": 1}}


@pytest.mark.parametrize(("reading", "expected"), [(Reading(), ["told", "untold"]), (Reading({"told": "*"}), ["told"])])
def test_what_was_not_announced(tmp_path: Path, reading: Reading, expected: list[str]) -> None:
    log: list[str] = []
    call = StepCall(SOURCE, "acme/read", StepRun("f", "r", "s"), {})
    session = Session(
        call, Place(Asked(), "process"), NoMemory(), lambda level, text: log.append(text), reading=reading
    )
    value = session.run(NOTHING, BatchWriter(Storage(str(tmp_path), ("f",), 1), 65536))
    assert [each["metadata"]["stream"] for each in read_batch(value)] == expected
    assert any("untold" in line for line in log), json.dumps(log)
