"""Reading a file of flows: bounded, strict JSON, and the wrappings that APIs put around flows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path as FilePath
from typing import Any, NoReturn

from flowmate_airflow.imports.report import Finding, ImportProblem, Path, masked, pointer, printable

MAX_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 60
MAX_FLOWS = 1000


@dataclass(frozen=True, slots=True)
class SourceFlow:
    """One flow of a file.

    :param value: the flow
    :param place: its path in the file
    :param id: the id that stands beside it, where the API puts it there
    :param beside: findings about what else stands beside it
    """

    value: dict[str, Any]
    place: Path
    id: str | None = None
    beside: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Source:
    """The flows of a file, and what else is in it."""

    flows: list[SourceFlow] = field(default_factory=list)
    problems: list[ImportProblem] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_source(path: FilePath) -> Source:
    """Return the flows of a file: one flow, a list of them, or an API's answer `{"data": …}` with either.

    :raises ImportProblem: the file is too large, not JSON, or has no flow
    :raises OSError: it cannot be read
    """
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ImportProblem(f"{path}: the file is larger than {MAX_BYTES // 1024**2} MiB; export fewer flows at once")
    value = parse_json(raw, str(path))
    source = Source()
    place: Path = ()
    if isinstance(value, dict) and "data" in value and "graph" not in value:
        source.findings = [_beside((key,), child, key) for key, child in value.items() if key != "data"]
        value, place = value["data"], ("data",)
    items = [((*place, number), item) for number, item in enumerate(value)] if isinstance(value, list) else None
    items = items if items is not None else [(place, value)]
    if not items:
        raise ImportProblem(f"{path}: there is no flow in it")
    if len(items) > MAX_FLOWS:
        raise ImportProblem(f"{path}: it has {len(items):,} flows; at most {MAX_FLOWS:,} can be imported at once")
    for where, item in items:
        _add(source, item, where, str(path))
    return source


def parse_json(raw: bytes, name: str) -> Any:
    """Return the value of a JSON text.

    :param name: how problems name the file
    :raises ImportProblem: it is not JSON, or more than a flow can be
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ImportProblem(f"{name}:{line}: the file is not UTF-8; save it as UTF-8") from None
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_float, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise ImportProblem(f"{name}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except RecursionError:
        raise ImportProblem(f"{name}: it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:  # ours, and Python's limit for the digits of a number
        raise ImportProblem(f"{name}: not valid JSON: {str(error).partition(';')[0]}") from None
    _check_depth(value, name)
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ImportProblem(f"{name}: a text in it has half a character (such as \\ud800)") from None
    return value


def _add(source: Source, item: Any, place: Path, name: str) -> None:
    where = f"{name} at {pointer(place) or '/'}"
    if not isinstance(item, dict):
        source.problems.append(ImportProblem(f"{where}: a flow is an object with `graph`, this is none"))
        return
    attributes = item.get("attributes")
    if isinstance(attributes, dict) and "graph" not in item:
        id_ = item.get("id")
        beside = [_beside((*place, key), child, key) for key, child in item.items() if key != "attributes"]
        flow = SourceFlow(attributes, (*place, "attributes"), id_ if isinstance(id_, str) else None, beside)
    else:
        flow = SourceFlow(item, place)
    if "graph" not in flow.value:
        source.problems.append(ImportProblem(f"{where}: it has no `graph`, so it is not a flow"))
        return
    source.flows.append(flow)


def _beside(place: Path, value: Any, key: str) -> Finding:
    return Finding(
        pointer(place), None, masked(value, key), "it stands beside the flow; nothing was made of it", "info"
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {printable(json.dumps(twice[:80], ensure_ascii=False))} stands twice in an object")
    return made


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _check_depth(value: Any, name: str) -> None:
    """Check how deep a value is nested, without recursion."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise ImportProblem(f"{name}: it is nested deeper than {MAX_DEPTH} levels")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
