"""What cannot live beside Airflow: peers and connectors, each in an environment of its own, made when first needed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.materials import CONNECTORS, ROOT
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import read_manifest
from flowmate_airflow.runtimes.base import RuntimeFailure
from flowmate_airflow.runtimes.process import DEFAULT_CACHE
from flowmate_airflow.runtimes.venvs import environment_for

PEERS = ROOT / ".tools" / "bench"
"""The peers' environments. Those of connectors are where the runtime `process` keeps them."""
UV = ROOT / ".tools" / "uv" / "bin"


class PeerMissing(Exception):
    """An environment or an image cannot be made, as on a machine without a network."""


def peer(requirement: str) -> Path:
    """Return the folder with the commands of a peer.

    :param requirement: a pinned package
    :raises PeerMissing: it cannot be installed
    """
    return _commands([requirement], PEERS)


def node_path() -> str:
    """Return where programs are found: Node is the tests' own, whose version is known."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def npm(package: str, version: str, builds: str) -> Path:
    """Return the folder with the commands of a peer that npm installs.

    :param builds: the one of its packages that is compiled; what else would be is left out, as it needs more than a
        compiler
    :raises PeerMissing: it cannot be installed, or not within a quarter of an hour
    """
    folder = PEERS / f"{package}-{version}"
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _npm(folder, "install", "--ignore-scripts", "--no-package-lock", f"{package}@{version}")
        _npm(folder, "rebuild", builds)
        done.touch()
    return folder / "node_modules" / ".bin"


def _npm(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "PATH": node_path()}
    command = ["npm", *arguments, "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        node = subprocess.run(
            ["node", "-p", "process.execPath"], env=environment, capture_output=True, text=True, check=True
        )
        home = Path(node.stdout.strip()).parent.parent
        if (home / "include" / "node").is_dir():  # the headers of this Node; else they are fetched
            environment["npm_config_nodedir"] = str(home)
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise PeerMissing("npm is not installed") from None
    except subprocess.TimeoutExpired:
        raise PeerMissing(f"npm did not {arguments[0]} {arguments[-1]} within 15 minutes") from None
    if done.returncode:
        raise PeerMissing(f"npm did not {arguments[0]} {arguments[-1]}: {done.stderr.strip()[-200:]}")


def connector(name: str) -> Manifest:
    """Return one of the benchmarks' connectors."""
    return read_manifest(CONNECTORS / name / "connector.yaml")


def program(manifest: Manifest) -> Path:
    """Return the command of a connector, in the very environment in which the runtime `process` runs it.

    :raises PeerMissing: it cannot be installed
    """
    assert manifest.process is not None
    assert manifest.process.command is not None
    return _commands(manifest.process.requirements, DEFAULT_CACHE) / manifest.process.command


def build_images(*manifests: Manifest) -> None:
    """Build the images of connectors that are packages of PyPI, where they are not there yet.

    :raises PeerMissing: one cannot be built
    """
    from docker import APIClient
    from docker.errors import DockerException, ImageNotFound

    from flowmate_airflow.authoring.building.build import Order, build
    from flowmate_airflow.authoring.errors import AuthoringError

    base = os.environ.get("FLOWMATE_BASE_IMAGE", "flowmate-test/base:latest")
    try:
        client = APIClient()
        for manifest in manifests:
            assert manifest.process is not None
            try:
                client.inspect_image(manifest.image)  # type: ignore[no-untyped-call]
            except ImageNotFound:
                order = Order(f"pypi:{manifest.process.requirements[0]}", tag=manifest.image, base=base)
                build(client, order, logging.getLogger(__name__))
    except (AuthoringError, DockerException) as error:
        raise PeerMissing(_last_line(error)) from None


def _commands(requirements: list[str], cache: Path) -> Path:
    if UV.is_dir() and str(UV) not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = f"{UV}{os.pathsep}{os.environ['PATH']}"
    try:
        return environment_for(requirements, cache.expanduser(), logging.getLogger(__name__)).parent
    except RuntimeFailure as error:
        raise PeerMissing(_last_line(error)) from None


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][-200:]
