"""All checks, in their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from flowmate_airflow.authoring.conformance import check_answers, check_manners, check_reads, check_writes
from flowmate_airflow.authoring.conformance.report import Failed, Report, Result, Skipped, Status
from flowmate_airflow.authoring.conformance.subject import Subject
from flowmate_airflow.steps.steplog import clean_failure


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    :param make: returns what is worth knowing, and raises Failed or Skipped
    """

    id: str
    title: str
    make: Callable[[Subject], str | None]


CHECKS: Sequence[Check] = (
    Check("starts", "it starts and says what it is", check_answers.starts),
    Check("manifest", "the manifest agrees with the image", check_answers.manifest_agrees),
    Check("check_good", "check accepts the credentials", check_answers.check_with_good),
    Check("check_bad", "check refuses wrong credentials", check_answers.check_with_bad),
    Check("discover", "discover lists usable streams", check_answers.discovers),
    Check("read", "records fit their schema", check_reads.reads),
    Check("repeat", "two full reads give the same", check_reads.repeats),
    Check("incremental", "incremental reads give nothing twice", check_reads.reads_incrementally),
    Check("resume", "killed and resumed, it loses nothing", check_reads.resumes),
    Check("unknown", "what does not exist is refused", check_reads.refuses_unknown),
    Check("write", "messages are accepted", check_writes.accepts),
    Check("empty", "empty input is fine", check_writes.takes_nothing),
    Check("secrets", "no secret in log or output", check_manners.keeps_secrets),
    Check("output", "it ends by itself, its output bounded", check_manners.ends_by_itself),
    Check("rights", "it runs without rights", check_manners.runs_confined),
)


def examine(
    subject: Subject,
    *,
    only: Collection[str] = (),
    on_start: Callable[[Report], None] = lambda report: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Make all checks, or some of them, and return what came of them.

    :param only: ids of checks; empty: all
    :param on_start: told the report before it has results
    :param on_result: told each result as it comes
    """
    results: list[Result] = []
    manifest = subject.manifest
    report = Report(manifest.name, manifest.image, manifest.protocol, subject.session.runtime_name, results)
    on_start(report)
    for check in CHECKS:
        if not only or check.id in only:
            result = _make(check, subject)
            results.append(result)
            on_result(result)
    return report


def _make(check: Check, subject: Subject) -> Result:
    started = time.monotonic()
    status: Status = "passed"
    try:
        reason = check.make(subject) or ""
    except Failed as error:
        reason, status = str(error), "failed"
    except Skipped as error:
        reason, status = str(error), "skipped"
    return Result(
        check.id, check.title, status, clean_failure(subject.session.masked(reason)), time.monotonic() - started
    )
