"""Images of components on the SDKs from npm, made without a network in the build: npm fetches on the host, once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import BASE_IMAGE, ROOT, docker

COMPONENTS = Path(__file__).resolve().parent / "components"
CACHE = ROOT / ".tools" / "npm"
NODE_BASE = "flowmate-test/node:latest"
LABEL = "io.flowmate.context"
"""The image's label with the digest of what it was built from."""

PACKAGES = {
    "contacts": ("ferryman2", "@openintegrationhub/ferryman@2.4.7"),
    "archive": ("ferryman1", "@openintegrationhub/ferryman@1.7.1"),
    "shop": ("sailor", "elasticio-sailor-nodejs@2.7.8"),
}
"""The SDK of each component, and the folder that the unit tests of the runner keep it in too."""

# As such components are built: a work folder, `npm start` as the entry point, a user who owns nothing.
NODE_DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /usr/src/app
COPY node_modules ./node_modules
COPY component ./
USER 1000:1000
ENTRYPOINT ["npm", "start"]
"""
PYTHON_DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /app
COPY . ./
USER 1000:1000
ENTRYPOINT ["python3", "main.py"]
"""


class Missing(Exception):
    """The machine lacks something that the images are made of."""


def build_node_images() -> None:
    """Build `flowmate-test/oih-<name>:1` of each component.

    :raises Missing: there is no npm, or no base image with Node can be had
    """
    made = subprocess.run([ROOT / "scripts" / "base_image", "node"], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Missing(made.stderr)
    for name, (folder, package) in PACKAGES.items():
        modules = _installed(folder, package)
        _build(f"flowmate-test/oih-{name}:1", NODE_BASE, NODE_DOCKERFILE, COMPONENTS / name, modules)


def build_python_images() -> None:
    """Build the images of what is written in Python: a connector on our SDK, and a Singer target."""
    sdk = ROOT / "connectors" / "sdk" / "flowmate_connector"
    _build("flowmate-test/ledger:1", BASE_IMAGE, PYTHON_DOCKERFILE, COMPONENTS / "ledger", sdk)
    _build("flowmate-test/target-web:1", BASE_IMAGE, PYTHON_DOCKERFILE, COMPONENTS / "target_web", None)


def _build(image: str, base: str, dockerfile: str, component: Path, packages: Path | None) -> None:
    digest = hashlib.sha256(docker("image", "inspect", "--format", "{{.Id}}", base).encode() + dockerfile.encode())
    for path in sorted(component.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(component)).encode() + b"\0" + path.read_bytes())
    if packages is not None and (packages.parent / "installed").exists():
        digest.update((packages.parent / "installed").read_bytes())
    elif packages is not None:
        digest.update(b"".join(path.read_bytes() for path in sorted(packages.glob("*.py"))))
    if _label(image) == digest.hexdigest():
        return
    with tempfile.TemporaryDirectory(prefix="flowmate-oih-") as temporary:
        context = Path(temporary)
        ignored = shutil.ignore_patterns("__pycache__")
        is_node = packages is not None and packages.name == "node_modules"
        shutil.copytree(component, context / "component" if is_node else context, dirs_exist_ok=True, ignore=ignored)
        if packages is not None:
            shutil.copytree(packages, context / packages.name, symlinks=True, ignore=ignored)
        (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        docker(
            *("build", "--quiet", "--force-rm", "--network", "none", "--build-arg", f"BASE_IMAGE={base}"),
            *("--label", f"{LABEL}={digest.hexdigest()}", "--tag", image, str(context)),
        )


def _installed(folder_name: str, package: str) -> Path:
    """Return a node_modules with a package and what it needs."""
    folder = CACHE / folder_name
    done = folder / "installed"
    if not done.exists() or done.read_text(encoding="utf-8") != package:
        if shutil.which("npm") is None:
            raise Missing("there is no `npm` on the PATH")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", package]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if ran.returncode != 0:
            raise Missing(f"npm could not install {package}: {ran.stderr[-500:]}")
        done.write_text(package, encoding="utf-8")
    return folder / "node_modules"


def _label(image: str) -> str | None:
    command = ["docker", "image", "inspect", "--format", f'{{{{ index .Config.Labels "{LABEL}" }}}}', image]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None
