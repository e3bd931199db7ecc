"""`flowmate connectors check`: good connectors pass, broken ones fail for the right reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broken_connectors import BROKEN, HANGS
from conformance_harness import CONFIGS, Broken, write_connector

from flowmate_airflow.cli.main import main

Check = Callable[..., dict[str, Any]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Examines a connector and returns the report."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")

    def run(base: str, *options: str, broken: Broken | None = None) -> dict[str, Any]:
        folder = tmp_path / "connectors"
        config = write_connector(base, folder, broken)
        where = ("--connectors", str(folder), "--config", str(config))
        code = main(["connectors", "check", base, *where, "--format", "json", *options])
        out, err = capsys.readouterr()
        report: dict[str, Any] = json.loads(out)
        assert (code == 0) is report["passed"], err
        return report

    return run


def by_status(report: dict[str, Any], status: str) -> dict[str, str]:
    return {each["id"]: each["reason"] for each in report["checks"] if each["status"] == status}


@pytest.mark.parametrize(
    ("base", "skipped"),
    [
        ("piece", {"discover", "rights"}),
        ("tap", {"write", "empty", "rights"}),
        ("source", {"write", "empty", "rights"}),
        (
            "target",
            {"check_bad", "discover", "read", "repeat", "incremental", "resume", "unknown", "secrets", "rights"},
        ),
        (
            "destination",
            {"check_bad", "discover", "read", "repeat", "incremental", "resume", "unknown", "secrets", "rights"},
        ),
    ],
)
def test_a_good_connector_passes(base: str, skipped: set[str], check: Check) -> None:
    report = check(base)
    assert by_status(report, "failed") == {}
    assert set(by_status(report, "skipped")) == skipped
    assert all(by_status(report, "skipped").values())


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.id)
def test_a_broken_connector_fails_for_the_right_reason(broken: Broken, check: Check) -> None:
    report = check(broken.base, "--only", broken.check, broken=broken)
    assert broken.reason in by_status(report, "failed").get(broken.check, f"not failed: {report['checks']}")


@pytest.mark.parametrize("broken", HANGS, ids=lambda broken: broken.id)
def test_a_connector_that_hangs_is_stopped(broken: Broken, check: Check) -> None:
    report = check(broken.base, "--only", f"{broken.check},output", "--timeout", "2", broken=broken)
    failed = by_status(report, "failed")
    assert broken.reason in failed[broken.check]
    assert "did not end within" in failed["output"]


def test_a_connector_without_end_is_bounded(check: Check) -> None:
    endless = Broken("endless", "piece", "range(last + 1, 11)", "range(1, 10**9)", "read", "")
    report = check("piece", "--only", "read,repeat", broken=endless)
    assert "it was stopped there" in by_status(report, "passed")["read"]
    assert "too many records" in by_status(report, "skipped")["repeat"]


def test_noise_on_stdout_is_counted(check: Check) -> None:
    noisy = Broken(
        "noisy",
        "piece",
        "def orders(line):\n",
        "def orders(line):\n    print('hello')\n    print('{no json')\n",
        "read",
        "",
    )
    report = check("piece", "--only", "read,output", broken=noisy)
    assert by_status(report, "passed")["output"].startswith("2 lines on stdout")


def test_fields_with_the_moment_of_reading_may_differ(check: Check) -> None:
    clock = Broken(
        "clock",
        "source",
        '"name": f"n{number}"',
        '"name": __import__("datetime").datetime.now().isoformat()',
        "repeat",
        "",
    )
    report = check("source", "--only", "repeat", broken=clock)
    assert by_status(report, "passed")["repeat"] == "fields that hold the moment of reading: things.name"


def test_without_credentials_what_needs_them_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    write_connector("tap", tmp_path)
    assert main(["connectors", "check", "tap", "--connectors", str(tmp_path), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert "give them with --connection or --config" in by_status(report, "skipped")["read"]
    assert set(by_status(report, "passed")) == {"starts", "manifest", "check_bad", "secrets", "output"}


def test_a_connection_gives_the_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "generic", "password": "right-token"}))
    write_connector("tap", tmp_path)
    options = ["--connection", "shop", "--only", "check_good,check_bad", "--connectors", str(tmp_path)]
    assert main(["connectors", "check", "tap", *options]) == 0
    out = capsys.readouterr().out
    assert "2 passed, 0 failed, 0 skipped" in out
    assert "right-token" not in out


def test_the_report_is_readable_and_kept_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    broken = Broken("x", "piece", 'GOOD_KEY = "right-key"', 'GOOD_KEY = "other"', "", "")
    config = write_connector("piece", tmp_path, broken)
    out = tmp_path / "report.json"
    options = ["--config", str(config), "--only", "starts,check_good", "--out", str(out)]
    assert main(["connectors", "check", "piece", "--connectors", str(tmp_path), *options]) == 1
    text = capsys.readouterr().out
    assert "passed   it starts and says what it is" in text
    assert "FAILED   check accepts the credentials" in text
    assert "wrong key" in text
    report = json.loads(out.read_text())
    assert report["counts"] == {"passed": 1, "failed": 1, "skipped": 0}
    assert [each["status"] for each in report["checks"]] == ["passed", "failed"]
    assert all(each["seconds"] >= 0 for each in report["checks"])


def test_a_report_tells_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    told = 'say(type="CHECK", ok=False, message="wrong key " + line["credentials"]["apiKey"])'
    broken = Broken("x", "piece", 'say(type="CHECK", ok=True)', told, "", "")
    config = write_connector("piece", tmp_path, broken)
    options = ["--config", str(config), "--only", "check_good,secrets", "--verbose"]
    assert main(["connectors", "check", "piece", "--connectors", str(tmp_path), *options]) == 1
    output = capsys.readouterr()
    assert "wrong key ***" in output.out
    assert "`apiKey` in the output" in output.out
    assert "right-key" not in output.out + output.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("nothing",), "there is no connector `nothing`"),
        (("piece", "--only", "raed"), "there is no check `raed`; did you mean `read`?"),
        (("piece", "--config", "{folder}/missing.json"), "missing.json cannot be read"),
        (("piece", "--config", "{folder}/broken.json"), "broken.json:1:8: a comma before the closing bracket"),
        (("piece", "--config", "{folder}/unknown.json"), "has the key `credential`"),
        (("piece", "--config", "{folder}/function.json"), "there is no function `order`; did you mean `orders`?"),
        (("piece", "--connection", "broken"), "AIRFLOW_CONN_BROKEN is no Connection"),
    ],
)
def test_what_cannot_be_examined_is_told(
    options: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__RUNTIME", "process")
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", "{")
    write_connector("piece", tmp_path)
    (tmp_path / "broken.json").write_text('{"a": 1,}')
    (tmp_path / "unknown.json").write_text('{"credential": {}}')
    (tmp_path / "function.json").write_text('{"functions": {"order": {}}}')
    given = [option.replace("{folder}", str(tmp_path)) for option in options]
    assert main(["connectors", "check", *given, "--connectors", str(tmp_path)]) != 0
    assert told in capsys.readouterr().err


def test_every_base_has_what_it_is_run_with() -> None:
    assert {each.base for each in BROKEN} == set(CONFIGS)
