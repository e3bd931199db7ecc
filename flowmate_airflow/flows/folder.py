"""The flow files below a folder, in a fixed order, without what `.airflowignore` leaves out."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

log = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml")
IGNORE_FILE = ".airflowignore"

Ignore = Callable[[str, bool], bool]
"""Takes a path relative to the ignore file's folder and whether it is a folder."""


def find_yaml_files(folder: Path, *, syntax: str = "glob") -> list[Path]:
    """Return every `.yaml` and `.yml` file below a folder, sorted.

    Hidden files and folders are left out, and so is what an `.airflowignore` in the folder or on the way names.

    :param syntax: of `.airflowignore`: `glob` (as in `.gitignore`) or `regexp`, Airflow's
        `[core] dag_ignore_file_syntax`
    """
    return sorted(_walk(folder, [], syntax, {folder.resolve()}))


def _walk(folder: Path, ignores: list[tuple[Path, Ignore]], syntax: str, seen: set[Path]) -> Iterator[Path]:
    ignore_file = folder / IGNORE_FILE
    if os.path.isfile(ignore_file):  # unlike Path.is_file, false where one may not look  # noqa: PTH113
        ignores = [*ignores, (folder, _read_ignore(ignore_file, syntax))]
    for entry in _entries(folder):
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        is_yaml = entry.suffix in SUFFIXES
        is_folder = not is_yaml and os.path.isdir(entry)  # noqa: PTH112
        if not (is_yaml or is_folder):
            continue
        if any(ignored(entry.relative_to(base).as_posix(), is_folder) for base, ignored in ignores):
            continue
        if is_folder:
            real = entry.resolve()
            if real not in seen:
                yield from _walk(entry, ignores, syntax, seen | {real})
        elif os.path.isfile(entry):  # noqa: PTH113
            yield entry


def _entries(folder: Path) -> list[Path]:
    """Return what a folder holds; a folder that may not be read holds no flows, and hides no others."""
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        log.warning("the folder %s cannot be read: %s", folder, error.strerror)
        return []


def _read_ignore(path: Path, syntax: str) -> Ignore:
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        log.warning("%s cannot be read: %s", path, error.strerror)
        lines = []
    if syntax == "regexp":
        patterns = list(_patterns(path, lines))
        return lambda name, _is_folder: any(pattern.search(name) for pattern in patterns)
    from pathspec import GitIgnoreSpec

    try:
        spec = GitIgnoreSpec.from_lines(lines)
    except ValueError:
        spec = GitIgnoreSpec.from_lines(line for line in lines if _is_pattern(path, line))
    return lambda name, is_folder: spec.match_file(f"{name}/" if is_folder else name)


def _patterns(path: Path, lines: list[str]) -> Iterator[re.Pattern[str]]:
    for line in (raw.partition("#")[0].strip() for raw in lines):
        try:
            if line:
                yield re.compile(line)
        except re.error as error:
            log.warning("%s: the pattern %s is ignored: %s", path, line, error)


def _is_pattern(path: Path, line: str) -> bool:
    from pathspec import GitIgnoreSpec

    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError as error:
        log.warning("%s: a pattern is ignored: %s", path, error)
        return False
    return True
