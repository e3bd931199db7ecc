"""The flow files below a folder, in a fixed order, without what `.airflowignore` leaves out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

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
    if ignore_file.is_file():
        ignores = [*ignores, (folder, _read_ignore(ignore_file, syntax))]
    for entry in sorted(folder.iterdir(), key=lambda path: path.name):
        if entry.name.startswith(".") or entry.name == "__pycache__":
            continue
        is_yaml = entry.suffix in SUFFIXES
        is_folder = not is_yaml and entry.is_dir()
        if not (is_yaml or is_folder):
            continue
        if any(ignored(entry.relative_to(base).as_posix(), is_folder) for base, ignored in ignores):
            continue
        if is_folder:
            real = entry.resolve()
            if real not in seen:
                yield from _walk(entry, ignores, syntax, seen | {real})
        elif entry.is_file():
            yield entry


def _read_ignore(path: Path, syntax: str) -> Ignore:
    lines = path.read_text(encoding="utf-8").splitlines()
    if syntax == "regexp":
        patterns = [re.compile(line) for line in (raw.partition("#")[0].strip() for raw in lines) if line]
        return lambda name, _is_folder: any(pattern.search(name) for pattern in patterns)
    from pathspec import PathSpec

    spec = PathSpec.from_lines("gitignore", lines)
    return lambda name, is_folder: spec.match_file(f"{name}/" if is_folder else name)
