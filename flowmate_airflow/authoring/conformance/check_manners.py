"""Checks of how a connector behaves, over all the runs that the others made."""

from __future__ import annotations

from contextlib import suppress

from flowmate_airflow.authoring.conformance.inputs import secret_names
from flowmate_airflow.authoring.conformance.report import Failed, Skipped
from flowmate_airflow.authoring.conformance.subject import Subject


def keeps_secrets(subject: Subject) -> str | None:
    """No secret stands in its log or output, also when the credentials are wrong."""
    if not subject.has_secrets():
        raise Skipped("it was given no secrets" if secret_names(subject.manifest) else "it knows no secrets")
    marked = subject.marked()
    subject.ask("check", marked, "`check` with a marker in place of the secrets")
    for name in list(subject.manifest.triggers)[:5]:
        with suppress(Failed, Skipped):
            subject.read(name)  # with credentials that work it gets further, and has more to tell
        if subject.needs_more(name) is None and not subject.is_streams:
            subject.run(f"`{name}` with a marker in place of the secrets", name, inputs=marked)
    if subject.is_streams:
        subject.ask("discover", marked, "`discover` with a marker in place of the secrets")
    if subject.session.leaks:
        raise Failed("\n".join(f"the secret {place}" for place in list(subject.session.leaks)[:10]))
    return f"{len(subject.session.runs)} runs were searched"


def ends_by_itself(subject: Subject) -> str | None:
    """Each run ends by itself and within bounds, and keeps other text off its stdout."""
    late = [seen for seen in subject.session.runs if seen.late]
    if late:
        raise Failed("\n".join(f"{seen.what}: {seen.problem()}" for seen in late[:5]))
    lingering = [
        seen for seen in subject.session.runs if seen.reason and "after" in seen.reason and seen.code is not None
    ]
    limits = [seen for seen in subject.session.runs if seen.failure and "larger" in seen.failure]
    if limits:
        raise Failed("\n".join(f"{seen.what}: {seen.failure}" for seen in limits[:5]))
    if lingering:
        raise Failed("\n".join(f"{seen.what}: {seen.reason}" for seen in lingering[:5]))
    noise = sum(seen.noise for seen in subject.session.runs)
    return f"{noise:,} lines on stdout are no message of its protocol and were taken for its log" if noise else None


def runs_confined(subject: Subject) -> str | None:
    """It runs as another user than root, with a read-only file system where its manifest says so."""
    if subject.session.runtime_name != "docker":
        raise Skipped("the runtime `process` confines nothing")
    limits = subject.manifest.limits
    user = limits.user or (subject.facts.user if subject.facts is not None else "")
    name = user.partition(":")[0]
    ran = [seen for seen in subject.session.runs if seen.failure is None]
    if not ran:
        raise Failed("no run of it could be started")
    if name in ("", "0", "root"):
        raise Skipped(
            "it runs as root, though without any capability; name another USER in its Dockerfile, or `limits.user`"
        )
    return f"as user {user}" + (", with a read-only file system" if limits.read_only else "")
