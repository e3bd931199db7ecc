"""schemathesis asks what it can think of: no request makes the API or the pages fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from airflow.exceptions import DagNotFound
from hypothesis import HealthCheck, settings
from nasty import Nasty
from pages_harness import HOME, Site, serving_pages

from flowmate_airflow.auth import links
from flowmate_airflow.plugin.links import jobs
from flowmate_airflow.plugin.links.api import make_api
from flowmate_airflow.store import linked

API = "/flowmate/api/v1"


_NAMES = {"connector": ["shop", "nothing"], "tenant": ["acme", 'x"y'], "flow": ["orders", "a b"]}
_PAGES = (
    "/connect/{token}",
    "/links",
    "/links/new/{connector}",
    "/links/remove/{connector}",
    "/links/callback/{connector}/{context}",
)


def _described() -> dict[str, Any]:
    """Return what the API says of itself, with the pages, which say nothing; and names that there are."""
    found = make_api().openapi()
    paths = {f"{API}{path}": operations for path, operations in found["paths"].items()}
    paths |= {f"/flowmate{path}": _page(path) for path in _PAGES}
    for operations in paths.values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in _NAMES:
                    parameter["schema"] = {"enum": _NAMES[parameter["name"]]}
    return {**found, "paths": paths}


def _page(path: str) -> dict[str, Any]:
    def operation() -> dict[str, Any]:
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        text = {"schema": {"type": "string"}}
        parameters = [{"name": name, "in": "path", "required": True, **text} for name in names]
        parameters += [{"name": name, "in": "query", **text} for name in ("tenant", "method", "state", "code", "done")]
        return {"responses": {"200": {"description": "a page"}}, "parameters": parameters}

    form = {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
    body = {"requestBody": {"content": {"application/x-www-form-urlencoded": form}}}
    return {"get": operation(), "post": {**operation(), **body}}


schema = schemathesis.openapi.from_dict(_described())


@dataclass
class Served:
    """A server, and the provider of its connector `shop`."""

    site: Site
    nasty: Nasty

    def let_it_be_linked(self) -> None:
        """Link the connector, unless it is."""
        world = self.site.world
        if linked.find(world.store, "acme", "shop") is None:
            links.link(world.catalog, "acme", "shop", "key", {"key": self.nasty.api_key}, store=world.store)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    def nothing(flow: str, **_: Any) -> None:
        raise DagNotFound(flow)

    with pytest.MonkeyPatch.context() as patch, Nasty() as nasty:
        home = tmp_path_factory.mktemp("schemathesis")
        with serving_pages(home, patch) as site:
            patch.setattr(jobs, "trigger_dag", nothing)
            patch.setattr("flowmate_airflow.plugin.links.callers.tenant_of", lambda _: "acme")
            key = {"type": "api_key", "private": True, "verify": {"url": f"{nasty.url}/records"}}
            site.add_connector("shop", {"key": key, "consent": nasty.auth()})
            yield Served(site, nasty)


@schema.parametrize()
@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
def test_no_request_that_is_described_makes_it_fail(case: schemathesis.Case, served: Served) -> None:
    served.let_it_be_linked()
    case.headers.update({"Authorization": "Bearer ann", "Origin": HOME})
    answer = served.site.browser().client.request(
        case.method,
        case.formatted_path,
        params=case.query if isinstance(case.query, dict) else {},
        headers={name: value for name, value in case.headers.items() if _can_be_sent(value)},
        **_body(case),
    )
    assert answer.status_code < 500, answer.text


def _can_be_sent(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and value.isascii()


def _body(case: Any) -> dict[str, Any]:
    if case.method == "GET" or not isinstance(case.body, dict | list | str | int | float | bool | None):
        return {}
    if case.media_type == "application/x-www-form-urlencoded":
        return {"data": case.body if isinstance(case.body, dict) else {}}
    return {"json": case.body}
