"""Virtual environments for connectors that run without an image: built once, then taken from a cache."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from flowmate_airflow.runtimes.base import Log, RuntimeFailure

_COMPLETE = ".flowmate-complete"
_PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "NETRC",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
_PASSED_ON_PREFIXES = ("PIP_", "UV_", "HTTP_", "HTTPS_", "NO_", "ALL_", "http_", "https_", "no_", "all_")
_NETWORK_SIGNS = (
    "connection",
    "timed out",
    "timeout",
    "dns",
    "name resolution",
    "network",
    "tls",
    "ssl",
    "502",
    "503",
)


def environment_for(requirements: Sequence[str], cache: Path, log: Log) -> Path:
    """Return the Python of a virtual environment with these requirements, built if the cache has none.

    :param requirements: as pip takes them
    :param cache: the folder of all environments
    :raises RuntimeFailure: it can't be built
    """
    folder = cache / _key(requirements)
    python = folder / "bin" / "python"
    if _is_complete(folder):
        return python
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(cache / f"{folder.name}.lock", log):
            # Another process may have built it while this one waited.
            if not _is_complete(folder):
                _build(folder, requirements, log)
    except OSError as error:
        raise RuntimeFailure(f"can't make a virtual environment in {cache}: {error}", retry=False) from error
    return python


def _key(requirements: Sequence[str]) -> str:
    parts = [list(requirements), sys.implementation.cache_tag, list(sys.version_info[:3]), sys.base_prefix]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _is_complete(folder: Path) -> bool:
    # The second: the Python it was made with may be gone since.
    return (folder / _COMPLETE).exists() and (folder / "bin" / "python").exists()


@contextmanager
def _lock(path: Path, log: Log) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another task that is making the connector's virtual environment")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file unlocks it, and so does the end of a killed process


def _build(folder: Path, requirements: Sequence[str], log: Log) -> None:
    # Built in its place, not renamed into it: installed commands carry their environment's path. What a
    # killed process left half-built lacks the mark that is set last, and starts again from nothing.
    shutil.rmtree(folder, ignore_errors=True)
    log.info("making a virtual environment (%s)", ", ".join(requirements) or "no requirements")
    uv = _uv()
    use_pip = bool(requirements) and uv is None
    try:
        venv.EnvBuilder(with_pip=use_pip, symlinks=True).create(folder)
    except subprocess.CalledProcessError as error:
        raise RuntimeFailure(
            "this Python can't make a virtual environment with pip; install uv (`pip install uv`) or your "
            f"system's python3-venv: {_tail(error.output or b'')}",
            retry=False,
        ) from error
    if requirements:
        python = str(folder / "bin" / "python")
        _install(
            [*uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"],
            requirements,
        )
    (folder / _COMPLETE).touch()


def _uv() -> list[str] | None:
    if found := shutil.which("uv"):
        return [found]
    return [sys.executable, "-m", "uv"] if importlib.util.find_spec("uv") else None


def _install(command: Sequence[str], requirements: Sequence[str]) -> None:
    # A package's build may run any code: it gets the settings of the installers and nothing else of the
    # worker's.
    settings = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    done = subprocess.run(  # noqa: S603 - a list of arguments, no shell
        [*command, "--quiet", "--", *requirements],
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        output = _tail(done.stdout)
        raise RuntimeFailure(
            f"could not install the connector's requirements {', '.join(requirements)}: {output}",
            retry=any(sign in output.lower() for sign in _NETWORK_SIGNS),
        )


def _tail(output: bytes) -> str:
    return output.decode("utf-8", errors="replace").strip()[-2000:]
