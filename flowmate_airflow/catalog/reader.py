"""Reading a connector's manifest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from flowmate_airflow.catalog.auth import METHODS
from flowmate_airflow.catalog.authchecks import flaws
from flowmate_airflow.catalog.authmethod import AuthMethod, Request, Verification
from flowmate_airflow.catalog.manifest import Function, Manifest, PythonProcess, ResourceLimits
from flowmate_airflow.catalog.oauth import JwtBearer
from flowmate_airflow.flows.errors import FlowFileError, Problem
from flowmate_airflow.flows.positions import SourceMap
from flowmate_airflow.flows.schemas import schema_problem
from flowmate_airflow.flows.validation import problems_of
from flowmate_airflow.flows.yamltext import parse


class ManifestError(FlowFileError):
    """A manifest that cannot be used; carries every problem found in it."""


def read_manifest(path: Path) -> Manifest:
    """Return the connector that a `connector.yaml` describes.

    :raises ManifestError: it has problems
    :raises OSError: it cannot be read
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ManifestError([Problem("the file is not UTF-8", str(path), hint="save it as UTF-8")]) from None
    source = SourceMap(str(path), text)
    result = parse(text)
    if result.problems:
        raise ManifestError(source.text_problem(problem) for problem in result.problems)
    try:
        manifest = Manifest.model_validate(result.value)
    except ValidationError as error:
        raise ManifestError(problems_of(error, source, _known_keys)) from None
    problems = [*_schema_problems(manifest, source), *_auth_problems(manifest, source)]
    if problems:
        raise ManifestError(problems)
    manifest._folder = path.parent
    return manifest


def _schema_problems(manifest: Manifest, source: SourceMap) -> list[Problem]:
    found = []
    for kind, functions in (("triggers", manifest.triggers), ("actions", manifest.actions)):
        for name, function in functions.items():
            schemas: dict[tuple[str, ...], Any] = {("fields", field): it for field, it in function.fields.items()}
            schemas |= {(key,): value for key, value in (("in", function.input), ("out", function.output)) if value}
            for path, schema in schemas.items():
                wrong = schema_problem(schema)
                if wrong:
                    place = (kind, name, *path, *wrong.path)
                    found.append(source.problem(f"not a JSON Schema: {wrong.message}", place, wrong.hint))
    return found


def _auth_problems(manifest: Manifest, source: SourceMap) -> Iterator[Problem]:
    for name, method in manifest.auth.items():
        for field, schema in method.fields.items():
            wrong = schema_problem(schema)
            if wrong:
                place = ("auth", name, "fields", field, *wrong.path)
                yield source.problem(f"not a JSON Schema: {wrong.message}", place, wrong.hint)
        for flaw in flaws(method):
            place = ("auth", name, *flaw.path)
            yield source.problem(flaw.message, place, flaw.hint, offset=flaw.offset)


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "triggers": Function,
        "actions": Function,
        "limits": ResourceLimits,
        "process": PythonProcess,
    }
    if location[:1] == ("auth",):
        model: type[BaseModel] = _auth_model(location)
    else:
        model = models.get(str(location[0]), Manifest) if location else Manifest
    return [field.alias or name for name, field in model.model_fields.items()]


def _auth_model(location: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model at a place below `auth`, whose third part is the mark of the method's type."""
    parts: dict[str, type[BaseModel]] = {
        "verify": Verification,
        "login": Request,
        "logout": Request,
        "jwt": JwtBearer,
    }
    method = METHODS.get(str(location[2]).removeprefix("$"), AuthMethod) if len(location) > 2 else AuthMethod
    return parts.get(str(location[3]), method) if len(location) > 3 else method
