"""A flow file read and checked whole: `load_flow` is what the loader, the command line and the tests call."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.checks import check_flow
from flowmate_airflow.flows.errors import FlowFileError, Problem
from flowmate_airflow.flows.migrate import UnknownFormat, migrate
from flowmate_airflow.flows.models import FORMAT, STEP_KINDS, Flow, MapStep, StepOptions, UseStep, WaitStep
from flowmate_airflow.flows.positions import SourceMap
from flowmate_airflow.flows.tenantmodels import DISPATCHER, LINKED, TenantOptions
from flowmate_airflow.flows.validation import clean_path, problems_of
from flowmate_airflow.flows.values import FLOW_ID
from flowmate_airflow.flows.webhookmodels import EndpointOptions, ReplyOptions, WaitOptions, WebhookOptions
from flowmate_airflow.flows.yamltext import MAX_BYTES, parse

MARKER = b"flowmate"
MAX_READ = 8 * MAX_BYTES
"""Bytes that are read of a file at most: YAML of other tools may lie in the folder, of any size."""
_TOP_LEVEL_MARKER = re.compile(r"""^(?:\{\s*)?["']?flowmate["']?\s*:""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LoadedFlow:
    """A flow that passed every check.

    :param path: its file
    :param text: the file's text, for showing it
    """

    path: Path
    text: str
    flow: Flow

    @property
    def flow_id(self) -> str:
        """The dag_id."""
        return self.flow.id or self.path.stem


def load_flow(path: Path, catalog: Catalog, *, name: str | None = None) -> LoadedFlow | None:
    """Return the flow of a file, or None when the file is not a flow.

    :param name: how problems name the file; default: the path as given
    :raises FlowFileError: the file is a flow with problems; all of them are in it
    """
    return read_flow(read_bounded(path), path, catalog, name=name)


def read_bounded(path: Path) -> bytes:
    """Return a file's content, or as much of it as tells that it is too large to be a flow."""
    with path.open("rb") as file:
        return file.read(MAX_READ)


def read_flow(raw: bytes, path: Path, catalog: Catalog, *, name: str | None = None) -> LoadedFlow | None:
    """Like :func:`load_flow`, with the file's content at hand."""
    shown = name or str(path)
    text = _decode(raw, shown)
    if text is None:
        return None
    source = SourceMap(shown, text)
    result = parse(text)
    if result.value is None and result.problems:
        if _TOP_LEVEL_MARKER.search(text) is None:
            return None
        raise FlowFileError(source.text_problem(problem) for problem in result.problems)
    if not isinstance(result.value, dict) or "flowmate" not in result.value:
        return None
    problems = [source.text_problem(problem) for problem in result.problems]
    flow = _validate(result.value, source, path, catalog, problems)
    if problems or flow is None:
        raise FlowFileError(problems)
    return LoadedFlow(path, text, flow)


def _decode(raw: bytes, shown: str) -> str | None:
    """Return a flow's text, or None for a file that does not mention the marker."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        if not _is_marked(raw.replace(b"\0", b"")[2:]):
            return None
        raise FlowFileError([Problem("the file is UTF-16", shown, hint="save it as UTF-8")])
    if MARKER not in raw:
        return None
    if len(raw) > MAX_BYTES:
        if not _is_marked(raw):
            return None
        message = f"the file has {len(raw):,} bytes; a flow may have {MAX_BYTES:,}"
        raise FlowFileError([Problem(message, shown, hint="split the flow, and keep data out of it")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not _is_marked(raw):
            return None
        line = raw.count(b"\n", 0, error.start) + 1
        raise FlowFileError([Problem("the file is not UTF-8", shown, line, hint="save it as UTF-8")]) from None


def _is_marked(raw: bytes) -> bool:
    """Whether a file that cannot be parsed means to be a flow; other tools' files may mention us."""
    return _TOP_LEVEL_MARKER.search(raw.decode("utf-8-sig", errors="replace")) is not None


def _validate(
    data: dict[Any, Any], source: SourceMap, path: Path, catalog: Catalog, problems: list[Problem]
) -> Flow | None:
    """Return the flow, and add every problem of it: of the models first, then of what is left standing."""
    if "id" not in data and (not re.fullmatch(FLOW_ID, path.stem) or path.stem.endswith(DISPATCHER)):
        hint = "add an `id:`, or rename the file to letters, digits, `_`, `-` and `.`"
        problems.append(source.problem(f"the file's name `{path.stem}` cannot be a flow's id", (), hint))
    try:
        data = migrate(data)
    except UnknownFormat as error:
        problems.append(source.problem(str(error), ("flowmate",), f"write `flowmate: {FORMAT}`, or update FlowMate"))
        data = {**data, "flowmate": FORMAT}
    steps = data.get("steps")
    try:
        flow = Flow.model_validate(data)
    except ValidationError as error:
        problems.extend(problems_of(error, source, _known_keys))
        broken = {clean_path(item["loc"])[:2] for item in error.errors(include_url=False)}
    else:
        problems.extend(check_flow(flow, source, catalog, data["steps"], list(range(len(flow.steps)))))
        return flow
    if not isinstance(steps, list) or ("steps",) in broken:
        return None
    standing = [index for index in range(len(steps)) if ("steps", index) not in broken]
    keys = {place[0] for place in broken if place}  # a problem of the flow as a whole has no place
    rest = {key: value for key, value in data.items() if key not in keys}
    if "tenants" in keys:
        rest["tenants"] = LINKED  # else steps would seem to lack a connection
    try:
        flow = Flow.model_validate({**rest, "steps": [steps[index] for index in standing]})
    except ValidationError:
        return None  # too little of it is left to check more
    problems.extend(check_flow(flow, source, catalog, steps, standing))
    return None


_STEPS: dict[str, type[Any]] = {"$use": UseStep, "$map": MapStep, "$wait": WaitStep}
_PARTS: dict[str, type[Any]] = {
    "defaults": StepOptions,
    "reply": ReplyOptions,
    "tenants": TenantOptions,
    "wait": WaitOptions,
    "webhook": WebhookOptions,
}


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    models = {**_STEPS, **_PARTS}
    name = next((str(part) for part in reversed(location) if part in models), None)
    model = Flow if name is None else models[name]
    if name == "webhook" and "wait" in location:
        model = EndpointOptions
    keys = [field.alias or key for key, field in model.model_fields.items()]
    return [*keys, *STEP_KINDS] if name in _STEPS else keys
