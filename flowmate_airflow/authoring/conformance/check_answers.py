"""Checks of what a connector says about itself and its streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flowmate_airflow.authoring.conformance.compare import value_at
from flowmate_airflow.authoring.conformance.inputs import credential_names
from flowmate_airflow.authoring.conformance.report import Failed, Skipped
from flowmate_airflow.authoring.conformance.seen import Seen
from flowmate_airflow.authoring.conformance.subject import VERB_SECONDS, Subject
from flowmate_airflow.authoring.settings import airbyte_settings, singer_settings
from flowmate_airflow.flows.errors import did_you_mean


def starts(subject: Subject) -> str | None:
    """It starts, and answers the question that asks for least: what it is."""
    seen = _described(subject)
    if seen.problem() is not None:
        raise Failed(f"asked what it is, {seen.problem()}")
    if seen.description is None:
        raise Failed("asked what it is, it answered nothing that is understood")
    return None


def manifest_agrees(subject: Subject) -> str | None:
    """The manifest says what the image says."""
    told = _described(subject).description
    if told is None:
        raise Skipped("the image does not say what it is")
    manifest = subject.manifest
    if manifest.node is not None:
        _functions_exist(subject, told.get("component"))
    elif manifest.protocol == "component":
        _functions_exist(subject, told)
    elif manifest.protocol == "airbyte" or "settings" in told:
        return _settings_agree(subject, told)
    else:
        raise Skipped("it tells nothing about its settings")
    return None


def check_with_good(subject: Subject) -> str | None:
    """`check` says that good credentials work."""
    first = [*subject.manifest.triggers, *subject.manifest.actions][0]
    why = subject.needs_credentials() if subject.manifest.protocol == "component" else subject.needs_more(first)
    if why is not None:
        raise Skipped(why)
    seen = subject.once("check", lambda: subject.ask("check"))
    if seen.problem() is not None:
        raise Failed(f"`check`: {seen.problem()}")
    if seen.check is None:
        raise Failed("`check` gave no answer")
    if not seen.check.ok:
        raise Failed(f"`check` says that it does not work: {seen.check.text or 'and not why'}")
    return seen.check.text or None


def check_with_bad(subject: Subject) -> str | None:
    """`check` says that wrong credentials do not work, and says it in time."""
    wrong = subject.wrong()
    if wrong is None:
        raise Skipped("it was given no credentials that could be wrong; --bad-config gives a configuration that is")
    try:
        seen = subject.once("bad check", lambda: subject.ask("check", wrong, "`check` with wrong credentials"))
    except Skipped as error:
        raise Skipped(f"its manifest refuses this already, so that the connector was not asked: {error}") from None
    if seen.failure is not None or seen.broken is not None:
        raise Failed(f"`check` with wrong credentials: {seen.problem()}")
    if seen.late:
        raise Failed(f"`check` with wrong credentials did not answer within {min(VERB_SECONDS, subject.seconds):g} s")
    if seen.check is not None and not seen.check.ok:
        return f"it says: {seen.check.text}" if seen.check.text else "it does not say why"
    if seen.check is not None and _has_no_check(subject, seen):
        raise Skipped("it has no check of its credentials")
    if seen.check is not None:
        raise Failed("`check` says that wrong credentials work")
    if seen.failed is not None and seen.failed.failure_type == "config":
        return f"it says: {seen.failed.text}"
    if seen.failed is not None:
        raise Failed(
            f"`check` with wrong credentials fails as `{seen.failed.failure_type}`, not `config`: a step would "
            f"be tried again and again: {seen.failed.text}"
        )
    raise Failed(f"`check` with wrong credentials gave no answer: {seen.problem() or 'it ended as if all were well'}")


def discovers(subject: Subject) -> str | None:
    """`discover` lists streams that can be used."""
    if not subject.is_streams:
        raise Skipped("it lists no streams")
    streams = subject.streams()
    names = [(stream.namespace, stream.name) for stream in streams]
    twice = sorted({name for namespace, name in names if names.count((namespace, name)) > 1})
    problems = [f"the stream `{name}` is listed twice" for name in twice]
    for stream in streams:
        problems += [f"stream `{stream.name}`: {problem}" for problem in _stream_problems(stream)]
    if problems:
        raise Failed("\n".join(problems[:10]))
    return "1 stream" if len(streams) == 1 else f"{len(streams):,} streams"


def _described(subject: Subject) -> Seen:
    return subject.once("describe", lambda: subject.ask("describe"))


def _functions_exist(subject: Subject, told: Any) -> None:
    if not isinstance(told, Mapping):
        raise Failed("what it says about itself is no object")
    problems: list[str] = []
    known: dict[str, str] = {}
    for kind in ("triggers", "actions"):
        group = told.get(kind)
        known |= {str(name): kind for name in group} if isinstance(group, Mapping) else {}
    for kind, functions in (("triggers", subject.manifest.triggers), ("actions", subject.manifest.actions)):
        for name, function in functions.items():
            called = function.calls or name
            if called not in known:
                hint = did_you_mean(called, known)
                problems.append(f"the image has no function `{called}`" + (f"; {hint}" if hint else ""))
            elif known[called] != kind and called not in _both(told):
                problems.append(f"`{called}` is among the {known[called]} of the image, not its {kind}")
    if problems:
        raise Failed("\n".join(problems[:10]))


def _both(told: Mapping[str, Any]) -> set[str]:
    groups = [told.get(kind) for kind in ("triggers", "actions")]
    first, second = (set(group) if isinstance(group, Mapping) else set() for group in groups)
    return first & second


def _settings_agree(subject: Subject, told: Mapping[str, Any]) -> str | None:
    try:
        settings = airbyte_settings(told) if subject.manifest.protocol == "airbyte" else singer_settings(told)
    except ValueError as error:
        raise Failed(f"its `spec` cannot be used: {error}") from None
    name, function = next(iter({**subject.manifest.triggers, **subject.manifest.actions}.items()))
    secrets = {
        each for method in settings.auth.values() for part in ("required", "optional") for each in method.get(part, {})
    }
    mine = set(function.fields) | set(credential_names(subject.manifest)) | set(subject.manifest.defaults)
    tops = {each.partition(".")[0] for each in (*mine, *secrets)}
    known = set(settings.fields) | secrets
    problems = [
        f"`{each}` of `{name}` is no setting of the image; {did_you_mean(each, known) or 'take it out'}"
        for each in sorted(mine)
        if each not in known and each.partition(".")[0] not in settings.fields
    ]
    problems += [f"the image needs the setting `{each}`" for each in settings.required if each not in tops]
    problems += [
        f"the secret `{each}` stands among the fields: name it under `auth`"
        for each in sorted(secrets & set(function.fields))
    ]
    if problems:
        raise Failed("\n".join(problems[:10]))
    new = sorted((set(settings.fields) | secrets) - mine)
    return f"the manifest leaves out {', '.join(f'`{each}`' for each in new[:10])}" if new else None


def _has_no_check(subject: Subject, seen: Seen) -> bool:
    if subject.manifest.protocol != "component":
        return False
    files = (_described(subject).description or {}).get("files")
    if isinstance(files, Mapping):
        return files.get("verifyCredentials") is False
    return "no check of its own" in seen.last_line


def _stream_problems(stream: Any) -> Iterator[str]:
    schema = stream.schema
    properties = schema.get("properties")
    if not isinstance(schema, Mapping) or (properties is not None and not isinstance(properties, Mapping)):
        yield "its schema is no JSON Schema of an object"
        return
    if not properties:
        return
    for field in stream.primary_key:
        if not _has(properties, field):
            yield f"its primary key `{field}` is not in its schema"
    if stream.cursor and not _has(properties, stream.cursor):
        yield f"its cursor `{stream.cursor}` is not in its schema"


def _has(properties: Mapping[str, Any], field: str) -> bool:
    return value_at(properties, field.partition(".")[0]) is not None or field in properties
