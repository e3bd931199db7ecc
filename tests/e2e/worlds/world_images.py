"""Images of packages from PyPI, made without a network in the build: what they hold is fetched on the host, once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from harness import BASE_IMAGE, ROOT, build_image, docker

HERE = Path(__file__).resolve().parent
CACHE = ROOT / ".cache" / "worlds"
LABEL = "io.flowmate.context"
"""The image's label with the digest of what it was built from."""

_DOCKERFILE = """
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ENV PYTHONPATH=/opt/site
COPY site /opt/site
"""


@cache
def package_sets() -> dict[str, dict[str, Any]]:
    """Return the sets of packages that images are made of, by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "packages.yaml").read_text(encoding="utf-8"))
    return found


def build_images(names: Sequence[str]) -> None:
    """Build `flowmate-test/<name>:1` for each name, unless it is there from the same packages.

    :param names: sets of `packages.yaml`, and folders beside it with a Dockerfile, which may build on those
    """
    base = docker("image", "inspect", "--format", "{{.Id}}", BASE_IMAGE).strip()
    version = docker(
        *("run", "--rm", "--network", "none", "--entrypoint", "python3", BASE_IMAGE),
        *("-c", "import sys; print('%d.%d' % sys.version_info[:2])"),
    ).strip()
    with ThreadPoolExecutor(2) as pool:
        for built in [pool.submit(_build, name, base, version) for name in names if name in package_sets()]:
            built.result()
    for name in names:
        if name not in package_sets():
            build_image(HERE / name, f"flowmate-test/{name}:1")


def _build(name: str, base: str, version: str) -> None:
    wanted = package_sets()[name]
    dockerfile = _DOCKERFILE + "".join(f"RUN python3 /opt/site/bin/{start} >/dev/null\n" for start in wanted["start"])
    digest = hashlib.sha256("\n".join([base, version, dockerfile, *wanted["packages"]]).encode()).hexdigest()
    image = f"flowmate-test/{name}:1"
    if _label(image) == digest:
        return
    context = CACHE / digest[:16]
    if not context.exists():
        unfinished = context.with_name(f"{context.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        _fetch(wanted["packages"], version, unfinished / "site")
        unfinished.rename(context)
    (context / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    docker(
        *("build", "--quiet", "--force-rm", "--network", "none", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}"),
        *("--label", f"{LABEL}={digest}", "--tag", image, str(context)),
    )


def _fetch(packages: Sequence[str], version: str, target: Path) -> None:
    """Install packages into a folder, for a Python of that version."""
    target.mkdir(parents=True)
    # The image's Python may be another one than ours.
    command = [_uv(), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
    command += ["--python-version", version, "--target", str(target), *packages]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


def _uv() -> str:
    own = ROOT / ".tools" / "uv" / "bin" / "uv"
    return str(own) if own.exists() else "uv"


def _label(image: str) -> str | None:
    command = ["docker", "image", "inspect", "--format", f'{{{{ index .Config.Labels "{LABEL}" }}}}', image]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None
