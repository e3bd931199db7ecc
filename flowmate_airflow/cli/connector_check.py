"""`flowmate connectors check`: the conformance suite for connectors' authors."""

from __future__ import annotations

import json
import logging
import re
from argparse import Namespace
from pathlib import Path

from flowmate_airflow.authoring.conformance.inputs import Inputs
from flowmate_airflow.authoring.conformance.report import Report, Result, result_lines
from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.images import ImageFacts
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.cli.common import catalog_of, print_json
from flowmate_airflow.cli.connector_add import read_image, stderr_log
from flowmate_airflow.cli.engines import Engines
from flowmate_airflow.cli.errors import FAILED, CommandError, UsageError
from flowmate_airflow.flows.errors import FlowFileError, did_you_mean
from flowmate_airflow.steps.errors import StepError
from flowmate_airflow.steps.runtimes import RuntimeName, runtime_name

_NAME = r"[a-z][a-z0-9_-]{0,63}"


def check_connector(arguments: Namespace) -> int:
    """Examine a connector and print what was found; the exit code is 0 when nothing failed and something passed."""
    only = _checks(arguments.only)
    try:
        report = _examine(arguments, only)
    except (AuthoringError, FlowFileError, StepError) as error:
        raise CommandError(str(error)) from None
    if arguments.format == "json":
        print_json(report.as_dict())
    else:
        print(f"\n{report.foot()}")
    if arguments.out is not None:
        _write(Path(arguments.out), report)
    return 0 if report.passed else FAILED


def _examine(arguments: Namespace, only: list[str]) -> Report:
    from flowmate_airflow.authoring.conformance.session import Session
    from flowmate_airflow.authoring.conformance.subject import Subject
    from flowmate_airflow.authoring.conformance.suite import examine

    runtime: RuntimeName = arguments.runtime or runtime_name()
    manifest = _manifest(arguments)
    good, bad = _inputs(arguments, manifest)
    log = stderr_log()
    component_log = log.info if arguments.verbose else lambda text: None
    if not arguments.verbose:
        log.setLevel(logging.ERROR)
    with Engines(runtime, log) as engines:
        facts = _facts(engines, manifest, log) if runtime == "docker" else None
        session = Session(manifest, engines.runtime(manifest), runtime, component_log)
        subject = Subject(session, good, bad, facts, arguments.timeout)
        if arguments.format == "json":
            return examine(subject, only=only)
        return examine(subject, only=only, on_start=lambda report: print(f"{report.head()}\n"), on_result=_print)


def _print(result: Result) -> None:
    from flowmate_airflow.authoring.conformance.suite import CHECKS

    width = max(len(check.title) for check in CHECKS)
    print("\n".join(result_lines(result, width)), flush=True)


def _manifest(arguments: Namespace) -> Manifest:
    from flowmate_airflow.authoring.write_manifest import check_draft

    found: Manifest | str | None = None
    if re.fullmatch(_NAME, arguments.connector):
        catalog = catalog_of(arguments)
        found = catalog.get(arguments.connector)
        if isinstance(found, str):
            raise CommandError(found)
        if found is None and ":" not in arguments.connector:
            hint = did_you_mean(arguments.connector, catalog.names())
            raise UsageError(
                f"there is no connector `{arguments.connector}`"
                + (f"; {hint}" if hint else "")
                + "; for an image give its tag too, such as acme/tap-shop:1.0.0"
            )
    if isinstance(found, Manifest):
        return found
    return check_draft(read_image(arguments.connector, entrypoint=arguments.entrypoint, protocol=arguments.protocol))


def _inputs(arguments: Namespace, manifest: Manifest) -> tuple[Inputs, Inputs | None]:
    from flowmate_airflow.auth.credentials import credentials_for
    from flowmate_airflow.authoring.conformance.inputs import read_inputs
    from flowmate_airflow.cli.accounts import find_account

    good = Inputs() if arguments.config is None else read_inputs(Path(arguments.config), manifest)
    if arguments.connection is not None:
        account = find_account(arguments.connection, "check", manifest.name, manifest=manifest)
        credentials = {**credentials_for(manifest, account, "check"), **(good.credentials or {})}
        good = Inputs(credentials, good.config, good.messages)
    bad = None if arguments.bad_config is None else read_inputs(Path(arguments.bad_config), manifest)
    return good, bad


def _facts(engines: Engines, manifest: Manifest, log: logging.Logger) -> ImageFacts:
    from flowmate_airflow.authoring.images import look_at
    from flowmate_airflow.steps.runtimes import pull_policy

    return look_at(engines.client(), manifest.image, log, pull_missing=pull_policy() != "never")


def _checks(given: str | None) -> list[str]:
    from flowmate_airflow.authoring.conformance.suite import CHECKS

    known = [check.id for check in CHECKS]
    asked = [each.strip() for each in (given or "").split(",") if each.strip()]
    for each in asked:
        if each not in known:
            raise UsageError(
                f"--only: there is no check `{each}`; {did_you_mean(each, known) or 'known: ' + ', '.join(known)}"
            )
    return asked


def _write(path: Path, report: Report) -> None:
    try:
        path.write_text(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
