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
    """Return where programs are found: on a machine without Node that of the tests is used."""
    return f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"


def npm(package: str, version: str) -> Path:
    """Return the folder with the commands of a peer that npm installs.

    :raises PeerMissing: it cannot be installed, or not within a quarter of an hour
    """
    folder = PEERS / f"{package}-{version}"
    commands = folder / "node_modules" / ".bin"
    done = folder / "installed"
    if done.exists():
        return commands
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error", "--prefix", str(folder)]
    try:
        subprocess.run(
            ["npm", "install", *options, f"{package}@{version}"],
            env={**os.environ, "PATH": node_path()},
            capture_output=True,
            text=True,
            check=True,
            timeout=900,
        )
    except FileNotFoundError:
        raise PeerMissing("npm is not installed") from None
    except subprocess.TimeoutExpired:
        raise PeerMissing(f"npm did not install {package} within 15 minutes") from None
    except subprocess.CalledProcessError as error:
        raise PeerMissing(f"npm did not install {package}: {error.stderr.strip()[-200:]}") from None
    done.touch()
    return commands


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
