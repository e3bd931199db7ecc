"""The providers that connectors log in at, for the end-to-end tests of links."""

from __future__ import annotations

import shutil
import sys

import pytest
from harness import ROOT, Client, build_image

sys.path.append(str(ROOT / "tests" / "providers"))

from clerk import CODE, DOCKERFILE
from provider_fixtures import nasty, oauth1_server, oidc, running_oidc

__all__ = ["clerk", "nasty", "oauth1_server", "oidc", "running_oidc"]


@pytest.fixture(scope="session")
def clerk(engine: None, airflow: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The connector that reads the books; its image is built."""
    context = tmp_path_factory.mktemp("clerk")
    sdk = ROOT / "connectors" / "sdk" / "flowmate_connector"
    shutil.copytree(sdk, context / sdk.name, ignore=shutil.ignore_patterns("__pycache__"))
    (context / "connector.py").write_text(CODE)
    (context / "Dockerfile").write_text(DOCKERFILE)
    build_image(context, "flowmate-test/clerk:1.0.0")
    return "clerk"
