"""`flowmate connectors add`, `build` and `check` on real images: packages of PyPI, components on the SDKs of npm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from harness import BASE_IMAGE, ROOT

from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import read_manifest

NODE_BASE = "flowmate-test/node:latest"
TOKEN = "right-token-123"

SAILOR = {
    "name": "sailor-shop",
    "version": "1.4.2",
    "dependencies": {"elasticio-sailor-nodejs": "2.7.8", "elasticio-node": "0.0.9"},
}
FERRYMAN = {
    "name": "ferryman-shop",
    "version": "2.1.0",
    "dependencies": {"@openintegrationhub/ferryman": "2.4.7"},
}
COMPONENT = {
    "title": "Shop",
    "credentials": {"fields": {"apiKey": {"viewClass": "PasswordFieldView", "required": True}}},
    "triggers": {
        "getOrders": {
            "main": "./trigger.js",
            "title": "Get orders",
            "fields": {
                "status": {"viewClass": "SelectView", "required": True, "model": {"open": "Open", "paid": "Paid"}}
            },
            "metadata": {"out": "./order.json"},
        },
        "lookup": {"main": "./lookup.js", "title": "Lookup"},
    },
    "actions": {"save-order": {"main": "./action.js", "title": "Save an order"}},
}
ORDER = {"type": "object", "properties": {"id": {"type": "integer", "required": True}, "name": {"type": "string"}}}
VERIFY = "module.exports = async (cfg) => { if (cfg.apiKey !== 'right-key') throw new Error('wrong key'); };"
SAILOR_TRIGGER = """
const { messages } = require('elasticio-node');
exports.process = async function (msg, cfg, snapshot) {
  console.log('reads', cfg.status);
  for (let id = (snapshot.last || 0) + 1; id <= 5; id += 1) {
    await this.emit('data', messages.newMessageWithBody({ id, name: `order ${id}` }));
  }
  await this.emit('snapshot', { last: 5 });
};
"""
SAILOR_ACTION = """
const { messages } = require('elasticio-node');
exports.process = async function (msg, cfg) {
  return messages.newMessageWithBody({ saved: msg.body.name });
};
"""
FERRYMAN_TRIGGER = """
const { transform } = require('@openintegrationhub/ferryman');
exports.process = async function (msg, cfg, snapshot, headers, tokenData) {
  for (let id = (snapshot.last || 0) + 1; id <= 5; id += 1) {
    const made = transform({ data: { id, name: tokenData.function } }, cfg, (order) => order);
    this.emit('data', { data: made.data, metadata: { recordUid: String(id) } });
  }
  await this.emit('snapshot', { last: 5 });
  await this.emit('end');
};
"""
FERRYMAN_ACTION = """
exports.process = async function (msg) {
  return { data: { saved: msg.data.name }, metadata: msg.metadata };
};
"""
INPUTS = {
    "credentials": {"apiKey": "right-key"},
    "functions": {
        "getOrders": {"config": {"status": "open"}},
        "save_order": {"messages": [{"name": "a"}, {"name": "b"}]},
    },
}


@dataclass
class Workshop:
    """A folder to work in, with connectors of its own."""

    folder: Path
    environment: dict[str, str]

    def flowmate(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run a command that must end with a code; return what it printed, also on standard error."""
        ran = subprocess.run(
            [Path(sys.executable).with_name("flowmate"), "connectors", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def manifest(self, name: str) -> Manifest:
        """Return a manifest that was written."""
        return read_manifest(self.folder / "connectors" / name / "connector.yaml")

    def file(self, name: str, value: Any) -> str:
        """Write a JSON file and return its name."""
        (self.folder / name).write_text(json.dumps(value))
        return name

    def component(self, name: str, package: Mapping[str, Any], described: Any = COMPONENT, **files: str) -> str:
        """Write a component's folder; files are JavaScript by name without suffix."""
        folder = self.folder / name
        folder.mkdir()
        for file, value in (("component", described), ("package", package), ("order", ORDER)):
            text = value if isinstance(value, str) else json.dumps(value)
            (folder / f"{file}.json").write_text(text)
        for file, text in files.items():
            (folder / f"{file}.js").write_text(text)
        return name

    def check(self, name: str, *options: str, code: int = 0, **environment: str) -> dict[str, dict[str, str]]:
        """Examine a connector; return reasons by the status and id of the checks."""
        self.flowmate("check", name, "--out", "report.json", *options, code=code, **environment)
        report = json.loads((self.folder / "report.json").read_text())
        found: dict[str, dict[str, str]] = {"passed": {}, "failed": {}, "skipped": {}}
        for each in report["checks"]:
            found[each["status"]][each["id"]] = each["reason"]
        return found


@pytest.fixture
def workshop(engine: None, tmp_path: Path) -> Workshop:
    """A folder of its own for each test."""
    (tmp_path / "connectors").mkdir()
    files = tmp_path / "files"
    files.mkdir(mode=0o777)
    settings = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__FLOWMATE__FILES_FOLDER": str(files)}
    return Workshop(tmp_path, {**os.environ, **settings, "AIRFLOW__FLOWMATE__PULL": "never"})


@pytest.fixture(scope="session")
def node_base(engine: None) -> str:
    """An image with Node."""
    subprocess.run([ROOT / "scripts" / "base_image", "node"], check=True)
    return NODE_BASE


@pytest.fixture
def service() -> Iterator[str]:
    """The address of an API that wants a token, and gives what is new."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.send_response(401)
                self.end_headers()
                return
            since = parse_qs(urlsplit(self.path).query).get("since", [""])[0]
            rows = [{"id": n, "name": f"n{n}", "updated": f"2026-01-{n:02d}T00:00:00Z"} for n in range(1, 11)]
            body = json.dumps([row for row in rows if row["updated"] >= since]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("package", "trigger", "action"),
    [(SAILOR, SAILOR_TRIGGER, SAILOR_ACTION), (FERRYMAN, FERRYMAN_TRIGGER, FERRYMAN_ACTION)],
    ids=["sailor", "ferryman"],
)
def test_a_component_on_a_real_sdk(
    package: Mapping[str, Any], trigger: str, action: str, workshop: Workshop, node_base: str
) -> None:
    folder = workshop.component("shop", package, trigger=trigger, action=action, verifyCredentials=VERIFY)
    told = workshop.flowmate("build", folder, "--base-image", node_base, "--tag", "flowmate-test/author-shop:1")
    assert "the trigger `lookup` serves forms only" in told
    name = package["name"].replace("-", "_")
    written = next((workshop.folder / "connectors").iterdir()).name
    manifest = workshop.manifest(written)
    assert manifest.version == package["version"]
    assert manifest.image == "flowmate-test/author-shop:1"
    assert manifest.triggers["getOrders"].output == {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "name": {"type": "string"}},
        "required": ["id"],
    }
    assert manifest.actions["save_order"].calls == "save-order"
    assert manifest.auth["api_key"].required == {"apiKey": "password"}
    found = workshop.check(written, "--config", workshop.file("inputs.json", INPUTS))
    assert found["failed"] == {}
    assert set(found["skipped"]) == {"discover"}
    assert "wrong key" in found["passed"]["check_bad"]
    assert found["passed"]["incremental"] == "5 records, then 0"
    assert found["passed"]["write"] == "2 messages in, 2 out"
    assert name  # the package's name is the connector's where the image has none


def test_singer_packages(workshop: Workshop) -> None:
    built = ("--base-image", BASE_IMAGE)
    assert "the newest is" in workshop.flowmate("build", "pypi:target-jsonl", *built, code=1)
    assert "there is no target-jsonl==99" in workshop.flowmate("build", "pypi:target-jsonl==99", *built, code=1)
    workshop.flowmate("build", "pypi:meltanolabs-target-csv==0.5.0", *built, "--name", "csv")
    assert workshop.manifest("csv").singer.about is True
    config = workshop.file("csv.json", {"destination_path": "/tmp"})
    found = workshop.check("csv", "--config", config)
    assert found["failed"] == {}
    assert {"starts", "manifest", "check_good", "write", "empty", "output", "rights"} <= set(found["passed"])
    assert found["passed"]["write"] == "3 records, and their state came back"

    workshop.flowmate("build", "pypi:tap-spreadsheets==1.1.2", *built, "--name", "sheets")
    path = workshop.folder / "connectors" / "sheets" / "connector.yaml"
    path.write_text(path.read_text().replace("protocol: singer\n", "protocol: singer\nfiles: true\n"))
    (workshop.folder / "files" / "orders.csv").write_text("id,name\n1,a\n2,b\n3,c\n")
    file = {"path": "/data/orders.csv", "format": "csv", "table_name": "orders", "primary_keys": ["id"]}
    good, bad = workshop.file("good.json", {"files": [file]}), workshop.file("bad.json", {})
    found = workshop.check("sheets", "--config", good, "--bad-config", bad)
    assert found["failed"] == {}
    expected = {"check_good", "check_bad", "discover", "read", "repeat", "incremental", "resume", "unknown"}
    assert expected <= set(found["passed"])


def test_airbyte_packages(workshop: Workshop, service: str) -> None:
    built = ("--base-image", BASE_IMAGE)
    workshop.flowmate("build", "pypi:airbyte-source-faker==6.2.21", *built, "--name", "faker")
    manifest = workshop.manifest("faker")
    assert manifest.protocol == "airbyte"
    assert manifest.defaults["count"] == 1000
    config = workshop.file("faker.json", {"count": 30, "seed": 1, "always_updated": False, "parallelism": 1})
    found = workshop.check("faker", "--config", config)
    assert found["failed"] == {}
    assert {"check_good", "discover", "read", "repeat", "incremental", "resume", "unknown"} <= set(found["passed"])

    package = ("pypi:airbyte-cdk==7.39.1", "--entrypoint", "source-declarative-manifest")
    workshop.flowmate("build", *package, *built, "--tag", "flowmate-test/declarative-source:1", "--name", "declarative")
    good = workshop.file("good.json", declarative(service, TOKEN))
    bad = workshop.file("bad.json", declarative(service, "wrong"))
    found = workshop.check("declarative", "--config", good, "--bad-config", bad, AIRFLOW__FLOWMATE__NETWORK="host")
    assert found["failed"] == {}
    assert "401" in found["passed"]["check_bad"]
    assert found["passed"]["incremental"] == "10 records, then 1"


def declarative(address: str, token: str) -> dict[str, Any]:
    """Return the configuration of a declarative source: its manifest."""
    moment = "%Y-%m-%dT%H:%M:%SZ"
    properties = {name: {"type": kind} for name, kind in (("id", "integer"), ("name", "string"), ("updated", "string"))}
    requester = {
        "type": "HttpRequester",
        "url_base": address,
        "path": "/things",
        "http_method": "GET",
        "authenticator": {"type": "BearerAuthenticator", "api_token": token},
    }
    cursor = {
        "type": "DatetimeBasedCursor",
        "cursor_field": "updated",
        "datetime_format": moment,
        "cursor_datetime_formats": [moment],
        "start_datetime": {"type": "MinMaxDatetime", "datetime": "2025-01-01T00:00:00Z", "datetime_format": moment},
        "start_time_option": {"type": "RequestOption", "field_name": "since", "inject_into": "request_parameter"},
    }
    stream = {
        "type": "DeclarativeStream",
        "name": "things",
        "primary_key": ["id"],
        "schema_loader": {"type": "InlineSchemaLoader", "schema": {"type": "object", "properties": properties}},
        "retriever": {
            "type": "SimpleRetriever",
            "requester": requester,
            "record_selector": {"type": "RecordSelector", "extractor": {"type": "DpathExtractor", "field_path": []}},
            "paginator": {"type": "NoPagination"},
        },
        "incremental_sync": cursor,
    }
    return {
        "__injected_declarative_manifest": {
            "version": "6.0.0",
            "type": "DeclarativeSource",
            "check": {"type": "CheckStream", "stream_names": ["things"]},
            "streams": [stream],
            "spec": {"type": "Spec", "connection_specification": {"type": "object", "properties": {}}},
        }
    }


PLAIN = {"name": "broken", "version": "1.0.0"}
GOOD_TRIGGER = "exports.process = async function () { await this.emit('data', { data: { id: 1 } }); };"


@pytest.mark.parametrize(
    ("trigger", "check", "reason"),
    [
        ("require('./missing'); exports.process = () => {};", "read", "the file './missing'"),
        ("exports.process = () => { process.exit(0); };", "read", "process.exit"),
        ("exports.process = function (msg, cfg) { console.log('cfg', cfg); };", "secrets", "`apiKey` in the log"),
        ("exports.process = () => new Promise(() => setInterval(() => {}, 1000));", "read", "did not end within"),
        ("exports.process = async function () { throw new Error('boom'); };", "read", "boom"),
        ("exports.process = async function () { this.emit('data', { data: { id: 'x' } }); };", "read", "`id` 'x'"),
    ],
    ids=["require", "exit", "prints_config", "hangs", "throws", "wrong_record"],
)
def test_a_broken_component_fails_for_the_right_reason(
    trigger: str, check: str, reason: str, workshop: Workshop, node_base: str
) -> None:
    folder = workshop.component("broken", PLAIN, trigger=trigger, action=GOOD_TRIGGER, verifyCredentials=VERIFY)
    options = ("--base-image", node_base, "--tag", "flowmate-test/author-broken:1", "--name", "broken")
    workshop.flowmate("build", folder, *options)
    inputs = workshop.file("inputs.json", INPUTS)
    found = workshop.check("broken", "--config", inputs, "--only", check, "--timeout", "8", code=1)
    assert reason in found["failed"][check]


def test_an_image_of_our_own_says_what_it_is(workshop: Workshop) -> None:
    new = (Path(sys.executable).with_name("flowmate"), "new", "connector", "shop", "--folder", "mine")
    subprocess.run(new, cwd=workshop.folder, env=workshop.environment, check=True, capture_output=True)
    told = workshop.flowmate("build", "mine/shop", "--base-image", BASE_IMAGE, "--tag", "flowmate-test/author-own:1")
    assert "mine/shop/connector.yaml describes it" in told
    workshop.flowmate("add", "--image", "flowmate-test/author-own:1", "--name", "own")
    written = read_manifest(workshop.folder / "mine" / "shop" / "connector.yaml")
    added = workshop.manifest("own")
    assert added.triggers == written.triggers
    assert added.actions == written.actions
    found = workshop.check("own")
    assert found["failed"] == {}
    assert {"starts", "manifest", "read", "repeat", "output", "rights"} <= set(found["passed"])


def test_a_component_json_in_an_image_that_is_no_json(workshop: Workshop, node_base: str) -> None:
    wrong = '{\n  "title": "x",\n  "triggers": {"a": {"main": "./a.js",}}\n}\n'
    folder = workshop.component("wrong", PLAIN, wrong)
    told = workshop.flowmate(
        "build", folder, "--base-image", node_base, "--tag", "flowmate-test/author-wrong:1", code=1
    )
    assert "component.json:3:38: a comma before the closing bracket" in told


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (("add", "--image", "flowmate-test/nothing:1"), {}, "there is no image flowmate-test/nothing:1"),
        (("add", "--image", BASE_IMAGE), {}, "speaks no protocol that FlowMate knows"),
        (("add", "--image", BASE_IMAGE, "--protocol", "airbyte"), {}, "as `airbyte`"),
        (("add", "--image", BASE_IMAGE), {"DOCKER_HOST": "unix:///nowhere.sock"}, "no container engine answers"),
        (("build", "nowhere"), {}, "there is no folder nowhere"),
        (("build", "connectors"), {}, "neither a Dockerfile nor a package.json"),
        (("build", "pypi:not a name"), {}, "names no package"),
        (("build", "pypi:six==1.17.0", "--base-image", BASE_IMAGE), {}, "has no command"),
        (("check", "flowmate-test/nothing:1"), {}, "there is no image flowmate-test/nothing:1"),
    ],
)
def test_what_cannot_be_done_is_told(
    arguments: tuple[str, ...], environment: dict[str, str], told: str, workshop: Workshop
) -> None:
    assert told in workshop.flowmate(*arguments, code=1, **environment)
