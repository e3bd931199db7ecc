"""`flowmate import`: flows of other tools become flow files."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from flowmate_airflow.catalog.catalog import configured_catalog
from flowmate_airflow.cli.common import count, print_json
from flowmate_airflow.cli.errors import FAILED, CommandError, UsageError
from flowmate_airflow.flows.positions import SourceMap
from flowmate_airflow.flows.yamltext import MAX_BYTES, parse
from flowmate_airflow.imports.oih import ImportedFlow, import_flow
from flowmate_airflow.imports.report import ImportProblem, printable
from flowmate_airflow.imports.source import Source, SourceFlow, read_source

_CONNECTOR = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def import_oih(arguments: Namespace) -> int:
    """Write a flow file for each flow of an export, and tell what they do not say."""
    file, folder = Path(arguments.file), Path(arguments.out)
    connectors = _connectors(arguments.connectors)
    try:
        source = read_source(file)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    except ImportProblem as error:
        raise CommandError(str(error)) from None
    problems = [str(problem) for problem in source.problems]
    flows = _import_all(source, connectors, str(file), problems)
    paths = [folder / f"{flow.id}.yaml" for flow in flows]
    _write(dict(zip(paths, [flow.text for flow in flows], strict=True)), arguments.force)
    if arguments.format == "json":
        print_json(_as_dict(source, flows, paths, problems))
    else:
        _tell(source, flows, paths)
        print("".join(f"{problem}\n" for problem in problems), end="", file=sys.stderr)
    return FAILED if problems else 0


def _import_all(source: Source, connectors: dict[str, str], name: str, problems: list[str]) -> list[ImportedFlow]:
    flows: list[ImportedFlow] = []
    catalog = configured_catalog()
    taken: set[str] = set()
    for item in source.flows:
        try:
            flow = import_flow(item, connectors, catalog, taken)
        except ImportProblem as error:
            problems.append(f"{name}: the flow {_shown(item)} was not imported: {error}")
        else:
            taken.add(flow.id)
            flows.append(flow)
    return flows


def _shown(flow: SourceFlow) -> str:
    name = flow.value.get("name") or flow.value.get("_id") or flow.id or "at " + "/".join(map(str, flow.place))
    return printable(str(name)[:80])


def _tell(source: Source, flows: list[ImportedFlow], paths: list[Path]) -> None:
    for finding in source.findings:
        print(finding.line(), file=sys.stderr)
    for flow, path in zip(flows, paths, strict=True):
        print(f"Wrote {path}: {count(flow.steps, 'step')}, {count(len(flow.todos), 'thing')} to do by hand")
        for node, steps in flow.nodes.items():
            if steps != [node]:
                print(printable(f"  node {node}: {', '.join(steps)}"), file=sys.stderr)
        for level, title in (("todo", "  to do by hand:"), ("info", "  to know:")):
            lines = [f"    {finding.line()}" for finding in flow.findings if finding.level == level]
            print("\n".join([title, *lines] if lines else []), end="\n" if lines else "", file=sys.stderr)


def _as_dict(source: Source, flows: list[ImportedFlow], paths: list[Path], problems: list[str]) -> dict[str, Any]:
    return {
        "flows": [
            {
                "id": flow.id,
                "file": str(path),
                "steps": flow.steps,
                "nodes": flow.nodes,
                "findings": [finding.as_dict() for finding in flow.findings],
            }
            for flow, path in zip(flows, paths, strict=True)
        ],
        "findings": [finding.as_dict() for finding in source.findings],
        "problems": problems,
    }


def _write(files: dict[Path, str], force: bool) -> None:
    """Write all files; none of them when one is there already and must stay."""
    there = [str(path) for path in files if path.exists() or path.is_symlink()]
    if there and not force:
        raise CommandError(
            f"{', '.join(there[:5])}{' and more' if len(there) > 5 else ''} "
            f"{'is' if len(there) == 1 else 'are'} there already; nothing was written (--force writes over them)"
        )
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}") from None


def _connectors(name: str | None) -> dict[str, str]:
    """Return the names of connectors by componentId, of a YAML or JSON file.

    :raises UsageError: the file is no such map
    """
    if name is None:
        return {}
    try:
        with Path(name).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"--connectors: {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--connectors: {name} is not UTF-8") from None
    if len(raw) > MAX_BYTES:
        raise UsageError(f"--connectors: {name} is larger than {MAX_BYTES // 1024} KiB")
    source, result = SourceMap(name, text), parse(text)
    if result.problems:
        raise UsageError("\n".join(source.text_problem(problem).report() for problem in result.problems))
    if not isinstance(result.value, dict):
        raise UsageError(f"--connectors: {name} is not a map; write lines such as `60005f333ef679001b0949f5: google`")
    for component, connector in result.value.items():
        if not isinstance(connector, str) or not _CONNECTOR.fullmatch(connector):
            message = f"`{component}` has no name of a connector (lower case letters, digits, `_` and `-`)"
            raise UsageError(source.problem(message, (component,)).report())
    return dict(result.value)
