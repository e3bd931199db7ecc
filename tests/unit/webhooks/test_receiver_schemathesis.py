"""schemathesis posts what it can think of: nothing makes the receiver fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from receiver_harness import SECRET, Served, github, serving

from flowmate_airflow.webhooks import receiver
from flowmate_airflow.webhooks.endpoints import Endpoint

_HEADERS = ("X-Hub-Signature-256", "X-GitHub-Delivery", "X-GitHub-Event", "Authorization", "Content-Encoding", "ce-id")
_ANY: dict[str, Any] = {}
_BODIES = {
    "application/json": {"schema": _ANY},
    "application/cloudevents+json": {
        "schema": {
            "type": "object",
            "required": ["id", "source", "type", "specversion"],
            "properties": {"specversion": {"const": "1.0"}},
        }
    },
    "application/cloudevents-batch+json": {"schema": {"type": "array"}},
    "application/x-www-form-urlencoded": {"schema": {"type": "object", "additionalProperties": {"type": "string"}}},
    "multipart/form-data": {
        "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
    },
    "text/plain": {"schema": {"type": "string"}},
}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"enum": ["orders", "bearer", "nothing", "a.b~c"]}}
_PARAMETERS = [
    _NAME,
    {"name": "q", "in": "query", "schema": {"type": "string"}},
    *({"name": name, "in": "header", "schema": {"type": "string"}} for name in _HEADERS),
]
_OPERATION = {"parameters": _PARAMETERS, "responses": {"202": {"description": "accepted"}}}
_PATH = {
    "post": {**_OPERATION, "requestBody": {"content": _BODIES}},
    **dict.fromkeys(("get", "put", "patch", "delete", "head", "options"), _OPERATION),
}
_TOKEN = {"name": "token", "in": "path", "required": True, "schema": {"type": "string"}}
DESCRIPTION = {
    "openapi": "3.1.0",
    "info": {"title": "hooks", "version": "1"},
    "paths": {
        "/flowmate/hooks/{name}": _PATH,
        "/flowmate/hooks/{name}/{token}": {"post": {**_PATH["post"], "parameters": [*_PARAMETERS, _TOKEN]}},
    },
}
schema = schemathesis.openapi.from_dict(DESCRIPTION)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(
            tmp_path_factory.mktemp("schemathesis"),
            github(rate=10_000_000),
            Endpoint("bearer", scheme="bearer", connection="secret", rate=10_000_000),
        ) as found,
    ):
        patch.setattr(receiver, "DENIED_STEP", 0.001)
        yield found


@schema.parametrize()
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
def test_no_request_that_is_described_makes_it_fail(case: schemathesis.Case, served: Served) -> None:
    for headers in ({}, {"Authorization": f"Bearer {SECRET}"}):
        case.headers.update(headers)
        answer = case.call(base_url=f"http://127.0.0.1:{served.port}")
        assert answer.status_code < 500
