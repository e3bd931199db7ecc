"""What a step's source is asked about its streams, and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.fernet import Fernet
from played import Played, manifest

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.batches.batch import BatchWriter
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.runtimes.base import Job
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.inputs import NOTHING
from flowmate_airflow.steps.memory import StoreMemory
from flowmate_airflow.steps.reading import Reading
from flowmate_airflow.steps.selection import SelectionError
from flowmate_airflow.steps.session import Place, Session
from flowmate_airflow.store.store import close_stores


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    yield
    close_stores()


class Source(Played):
    """An Airbyte source with one stream."""

    def __init__(self, *fields: str) -> None:
        super().__init__(self._play)
        self.fields = fields
        self.before_catalog: list[Any] = []

    @property
    def verbs(self) -> list[str]:
        """How it was started, each time."""
        return [job.arguments[0] for job in self.jobs]

    def _play(self, lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        if self.verbs[-1] == "discover":
            yield from self.before_catalog
            schema = {"type": "object", "properties": {name: {"type": "string"} for name in self.fields}}
            stream = {"name": "users", "json_schema": schema, "supported_sync_modes": ["full_refresh"]}
            yield {"type": "CATALOG", "catalog": {"streams": [stream]}}
        else:
            record = {"stream": "users", "data": dict.fromkeys(self.fields, "x"), "emitted_at": 1}
            yield {"type": "RECORD", "record": record}


def _run(source: Source, folder: Path, select: Any = None, attempt: int = 1) -> list[dict[str, Any]]:
    airbyte = manifest(protocol="airbyte", triggers={"read": {"title": "Read"}}, actions={})
    run = StepRun("f", "r", "s", attempt)
    call = StepCall(airbyte, "acme/read", run, {}, account=Account("acme_main", password="first"))
    place = Place(source, "process")
    session = Session(call, place, StoreMemory(run, -1), lambda level, text: None, reading=Reading(select))
    value = session.run(NOTHING, BatchWriter(Storage(str(folder), ("f", "r", "s"), 1), 65536))
    return [message["data"] for message in value["messages"]]


def test_a_retry_reads_what_the_first_try_should_have_read(tmp_path: Path) -> None:
    source = Source("id", "email")
    assert _run(source, tmp_path, {"users": ["email"]}, attempt=2) == [{"email": "x"}]
    assert source.verbs == ["discover", "read"]


def _file(job: Job, name: str) -> Any:
    return orjson.loads(job.files[name])


def test_a_source_is_asked_once(tmp_path: Path) -> None:
    source = Source("id", "email")
    for _ in range(2):
        assert _run(source, tmp_path, {"users": ["email"]}) == [{"email": "x"}]
    assert source.verbs == ["discover", "read", "read"]
    (stream,) = _file(source.jobs[-1], "catalog.json")["streams"]
    assert list(stream["stream"]["json_schema"]["properties"]) == ["email"]


def test_it_is_asked_again_when_the_step_names_what_is_new(tmp_path: Path) -> None:
    _run(Source("id"), tmp_path)
    grown = Source("id", "email")
    assert _run(grown, tmp_path, {"users": ["email"]}) == [{"email": "x"}]
    assert grown.verbs == ["discover", "read"]


def test_what_it_does_not_have_then_is_an_error(tmp_path: Path) -> None:
    source = Source("id", "email")
    _run(source, tmp_path)
    with pytest.raises(SelectionError, match="did you mean `email`"):
        _run(source, tmp_path, {"users": ["emial"]})
    assert source.verbs == ["discover", "read", "discover"]


def _rotated(key: str) -> dict[str, Any]:
    control = {"type": "CONNECTOR_CONFIG", "emitted_at": 1, "connectorConfig": {"config": {"key": key}}}
    return {"type": "CONTROL", "control": control}


def test_credentials_that_it_changes_when_asked_are_used_for_reading(tmp_path: Path) -> None:
    source = Source("id")
    source.before_catalog = [_rotated("second")]
    _run(source, tmp_path)
    assert [_file(job, "config.json")["key"] for job in source.jobs] == ["first", "second"]


def test_they_are_kept_when_it_fails_then(tmp_path: Path) -> None:
    error = {"message": "down", "failure_type": "transient_error"}
    trace = {"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 1, "error": error}}
    source = Source("id")
    source.behaviour = lambda lines: iter([_rotated("second"), trace, 1])
    with pytest.raises(StepError, match="down"):
        _run(source, tmp_path)
    healed = Source("id")
    _run(healed, tmp_path)
    assert _file(healed.jobs[0], "config.json")["key"] == "second"
