"""The played providers as fixtures; a conftest imports them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from nasty import Nasty
from oauth1_server import OAuth1Server
from oidc import Missing, Oidc

__all__ = ["nasty", "oauth1_server", "oidc", "running_oidc"]


@pytest.fixture(scope="session")
def running_oidc() -> Iterator[Oidc]:
    """npm's `oidc-provider`, for all tests; skipped without Node, but never where the tests decide about the work."""
    provider = Oidc()
    try:
        provider.__enter__()
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    yield provider
    provider.__exit__(None, None, None)


@pytest.fixture
def oidc(running_oidc: Oidc) -> Oidc:
    """npm's `oidc-provider`, set as it began."""
    running_oidc.reset()
    return running_oidc


@pytest.fixture
def nasty() -> Iterator[Nasty]:
    """A provider that is as bad as it is told to be."""
    with Nasty() as provider:
        yield provider


@pytest.fixture
def oauth1_server() -> Iterator[OAuth1Server]:
    """A provider of OAuth 1."""
    with OAuth1Server() as provider:
        yield provider
