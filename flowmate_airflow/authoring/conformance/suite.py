"""All checks, in their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from flowmate_airflow.authoring.conformance import check_answers, check_manners, check_reads, check_writes
from flowmate_airflow.authoring.conformance.report import Failed, Report, Result, Skipped
from flowmate_airflow.authoring.conformance.subject import Subject


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
    subject: Subject, *, only: Collection[str] = (), on_result: Callable[[Result], None] = lambda result: None
) -> Report:
    """Make all checks, or some of them, and return what came of them.

    :param only: ids of checks; empty: all
    :param on_result: told each result as it comes
    """
    results = []
    for check in CHECKS:
        if not only or check.id in only:
            result = _make(check, subject)
            results.append(result)
            on_result(result)
    manifest = subject.manifest
    return Report(manifest.name, manifest.image, manifest.protocol, subject.session.runtime_name, results)


def _make(check: Check, subject: Subject) -> Result:
    started = time.monotonic()
    try:
        reason = check.make(subject) or ""
        status = "passed"
    except Failed as error:
        reason, status = str(error), "failed"
    except Skipped as error:
        reason, status = str(error), "skipped"
    return Result(check.id, check.title, status, _clean(reason), time.monotonic() - started)  # type: ignore[arg-type]


def _clean(text: str) -> str:
    from flowmate_airflow.steps.steplog import clean_failure

    return clean_failure(text)
