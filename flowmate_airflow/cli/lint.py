"""`flowmate lint`: checks flow files. Imports nothing of Airflow and answers within half a second."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path

from flowmate_airflow.build.loader import check_files
from flowmate_airflow.cli.common import catalog_of, count, print_json
from flowmate_airflow.cli.errors import FAILED, CommandError, UsageError
from flowmate_airflow.flows.errors import Problem
from flowmate_airflow.flows.folder import find_yaml_files
from flowmate_airflow.settings import ignore_syntax


def lint(arguments: Namespace) -> int:
    """Check the flows and return 0 when all are right."""
    catalog = catalog_of(arguments)
    flows, errors = check_files(_files(arguments.paths or ["."]), catalog)
    checked = sorted([*(flow.path.as_posix() for flow in flows), *errors])
    problems = [problem for _, error in sorted(errors.items()) for problem in error.problems]
    if arguments.format == "json":
        print_json({"flows": len(checked), "files": checked, "problems": [problem.as_dict() for problem in problems]})
    else:
        _print_report(problems, len(checked), len(errors))
    return FAILED if problems else 0


def _files(paths: Iterable[str]) -> list[Path]:
    """Return the files to check, each once, named as the user named them or their folder."""
    found: dict[Path, Path] = {}
    for name in paths:
        path = Path(name)
        if path.is_dir():
            files = _below(path)
        elif path.exists():
            files = [path]
        else:
            raise UsageError(f"there is no file or folder {name}")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _below(folder: Path) -> list[Path]:
    try:
        return find_yaml_files(folder, syntax=ignore_syntax())
    except (re.error, ValueError) as error:
        raise CommandError(f"an .airflowignore in {folder} cannot be understood: {error}") from None
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be read: {error.strerror}") from None


def _print_report(problems: list[Problem], flows: int, broken: int) -> None:
    for problem in problems:
        print(problem.report(), end="\n\n")
    if problems:
        print(f"{count(flows, 'flow')}, {count(len(problems), 'problem')} in {count(broken, 'file')}")
    elif flows:
        print(f"{count(flows, 'flow')}, no problems")
    else:
        print("0 flows, no problems: a flow is a .yaml or .yml file with the top-level key `flowmate`")
