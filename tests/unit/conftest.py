"""Puts this folder on the path, where `played` is for the tests of several packages, and that of played providers."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "providers"))

from provider_fixtures import nasty, oauth1_server, oidc, running_oidc

__all__ = ["nasty", "oauth1_server", "oidc", "running_oidc"]
