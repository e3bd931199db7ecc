"""Programs of this machine that fetch what an image needs: containers have no network while they are built."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flowmate_airflow.authoring.errors import AuthoringError

CACHE = Path("~/.cache/flowmate/build")
SECONDS = 1800
_SHOWN = 3000


def run(command: Sequence[str], *, folder: Path | None = None) -> str:
    """Run a program and return what it printed.

    :raises AuthoringError: it is not there, fails, or takes too long
    """
    ended = attempt(command, folder=folder)
    if ended.returncode:
        told = f"{ended.stdout.strip()}\n{ended.stderr.strip()}".strip()
        raise AuthoringError(f"`{' '.join(command[:6])} …` failed on this machine:\n{told[-_SHOWN:]}")
    return ended.stdout


def attempt(command: Sequence[str], *, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program and return how it ended.

    :raises AuthoringError: it is not there, or takes too long
    """
    try:
        return subprocess.run(  # noqa: S603 - a list of arguments, no shell
            list(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=SECONDS,
        )
    except FileNotFoundError:
        raise AuthoringError(f"there is no program `{command[0]}` on this machine; install it") from None
    except subprocess.TimeoutExpired:
        raise AuthoringError(f"`{' '.join(command[:6])} …` took more than {SECONDS // 60} minutes") from None


def python_with_pip(version: str) -> Path:
    """Return a Python of a version, such as 3.12, with pip, in an environment of its own that is kept.

    :raises AuthoringError: there is none
    """
    folder = CACHE.expanduser() / f"python{version}"
    python = folder / "bin" / "python"
    if not python.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        uv = shutil.which("uv")
        if uv is not None:
            found = attempt([uv, "venv", "--quiet", "--seed", "--clear", "--python", version, str(folder)])
            if found.returncode == 0:
                return python
        own = shutil.which(f"python{version}") or (sys.executable if version == _own_version() else None)
        if own is None:
            raise AuthoringError(
                f"the base image has Python {version}, and this machine has none of that version to fetch packages "
                f"for it: install it (`uv python install {version}`), or choose another --base-image"
            )
        run([own, "-m", "venv", "--clear", str(folder)])
    return python


def own_python() -> Path:
    """Return a Python with pip, of the version that runs this program."""
    return python_with_pip(_own_version())


def _own_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
