"""A tap, target, source or destination from PyPI, by name and version, with all it needs as wheels."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from pathlib import Path

from flowmate_airflow.authoring.building.host import attempt, own_python, python_with_pip, run
from flowmate_airflow.authoring.errors import AuthoringError

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)(?P<extras>\[[A-Za-z0-9._,-]+\])?(?:==(?P<version>[A-Za-z0-9.!+_-]+))?"
)
_MORE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,-]+\])?[A-Za-z0-9.,<>=!~*+_-]*")
_PREFIXES = ("tap-", "target-", "source-", "destination-")


@dataclass(frozen=True, slots=True)
class Package:
    """A package of one version.

    :param extras: such as `[s3]`, or nothing
    """

    name: str
    version: str
    extras: str = ""

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}{self.extras}=={self.version}"


def read_package(text: str) -> Package:
    """Return the package that `name==version` names.

    :raises AuthoringError: it names no version, or is no name of a package
    """
    match = _REQUIREMENT.fullmatch(text)
    if match is None:
        raise AuthoringError(f"`pypi:{text}` names no package; write for example pypi:tap-csv==1.2.0")
    name, extras, version = match["name"], match["extras"] or "", match["version"]
    if version is None:
        raise AuthoringError(_unpinned(name, extras))
    return Package(name, version, extras)


def check_more(requirements: Sequence[str]) -> list[str]:
    """Return what `--with` names beside the package.

    :raises AuthoringError: one is no requirement by name
    """
    wrong = [each for each in requirements if not _MORE.fullmatch(each)]
    if wrong:
        raise AuthoringError(f"--with {wrong[0]!r} is no requirement; write for example 'setuptools<81'")
    return list(requirements)


def fetch_wheels(package: Package, more: Sequence[str], python_version: str, folder: Path) -> list[str]:
    """Put the wheels of a package and all it needs into a folder, and return the pinned requirements.

    Packages that come as sources only are built here, which runs their own build scripts.

    :param python_version: of the image, such as 3.11.2
    :raises AuthoringError: there is no such version, or its requirements cannot be had
    """
    python = str(python_with_pip(".".join(python_version.split(".")[:2])))
    folder.mkdir(parents=True, exist_ok=True)
    options = ("--quiet", "--disable-pip-version-check", "--wheel-dir", str(folder))
    wanted = _pinned(package, more, python_version, folder)
    ended = attempt([python, "-m", "pip", "wheel", *options, *wanted])
    if ended.returncode:
        raise AuthoringError(_failed(package, ended.stderr))
    return [f"{name}=={version}" for name, version in sorted(map(_of_wheel, folder.glob("*.whl")))]


def _pinned(package: Package, more: Sequence[str], python_version: str, folder: Path) -> list[str]:
    """Return what pip shall fetch: all versions, where uv is there to choose them for the image's very Python."""
    uv = shutil.which("uv")
    if uv is None:
        return [package.requirement, *more]
    asked = folder / "requirements.in"
    asked.write_text("".join(f"{each}\n" for each in (package.requirement, *more)), encoding="utf-8")
    options = ("--quiet", "--no-header", "--no-annotate", "--python-version", python_version)
    ended = attempt([uv, "pip", "compile", *options, str(asked)])
    asked.unlink()
    if ended.returncode:
        raise AuthoringError(_failed(package, ended.stderr))
    return ["--no-deps", *(line for line in ended.stdout.splitlines() if line and not line.startswith(("#", " ", "-")))]


def console_script(package: Package, folder: Path, wanted: str | None = None) -> str:
    """Return the command that a package brings, to be started in the image.

    :param folder: with its wheel
    :param wanted: the one that the author asked for
    :raises AuthoringError: there is none, or several and none that looks like a connector
    """
    scripts = _scripts(package, folder)
    if wanted is not None:
        if wanted not in scripts:
            raise AuthoringError(f"{package.requirement} has no command `{wanted}`; it has {_listed(scripts)}")
        return wanted
    likely = [script for script in scripts if script.startswith(_PREFIXES)]
    same = [script for script in likely if package.name.lower().replace("_", "-").endswith(script)]
    for found in (same, likely, scripts):
        if len(found) == 1:
            return found[0]
    raise AuthoringError(
        f"{package.requirement} has {_listed(scripts)}; "
        + ("say which one with --entrypoint" if scripts else "it is no tap, target, source or destination")
    )


def _scripts(package: Package, folder: Path) -> list[str]:
    for path in sorted(folder.glob("*.whl")):
        if _normal(_of_wheel(path)[0]) != _normal(package.name):
            continue
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
            text = wheel.read(names[0]).decode("utf-8", errors="replace") if names else ""
        parser = ConfigParser(interpolation=None, delimiters=("=",), strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        try:
            parser.read_string(text)
        except ConfigError as error:
            raise AuthoringError(f"the entry points of {package.requirement} cannot be read: {error}") from None
        return sorted(parser["console_scripts"]) if parser.has_section("console_scripts") else []
    return []


def _unpinned(name: str, extras: str) -> str:
    ended = attempt([str(own_python()), "-m", "pip", "index", "versions", "--disable-pip-version-check", name])
    match = re.match(r"\S+ \(([^()\s]+)\)", ended.stdout)
    if ended.returncode or match is None:
        return f"there is no package `{name}` on PyPI (or it cannot be asked)"
    newest = match[1]
    return f"`pypi:{name}{extras}` names no version; the newest is {newest}: write pypi:{name}{extras}=={newest}"


def _failed(package: Package, told: str) -> str:
    missing = ("No matching distribution found for", "there is no version of", "was not found in the package registry")
    if any(sign in told for sign in missing) and package.name in told:
        return f"there is no {package.requirement} on PyPI for this Python:\n{told.strip()[-1500:]}"
    return f"the wheels of {package.requirement} cannot be had:\n{told.strip()[-3000:]}"


def _of_wheel(path: Path) -> tuple[str, str]:
    name, version = path.name.split("-")[:2]
    return name.replace("_", "-"), version


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _listed(scripts: Sequence[str]) -> str:
    return f"the commands {', '.join(scripts)}" if scripts else "no command"


def node_modules(folder: Path) -> None:
    """Install a Node folder's packages into it, without running any script of theirs.

    :raises AuthoringError: npm is not there, or fails
    """
    common = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    locked = (folder / "package-lock.json").exists() or (folder / "npm-shrinkwrap.json").exists()
    ended = attempt(["npm", "ci" if locked else "install", *common], folder=folder)
    if ended.returncode and "ERESOLVE" in ended.stderr:
        ended = attempt(["npm", "install", *common, "--legacy-peer-deps"], folder=folder)
    if ended.returncode and locked:  # a lock that does not fit its package.json any more
        run(["npm", "install", *common], folder=folder)
    elif ended.returncode:
        raise AuthoringError(f"npm could not install the packages of {folder.name}:\n{ended.stderr.strip()[-3000:]}")
