"""A server with the pages of links, and a connector with a consent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from nasty import Nasty
from pages_harness import Site, serving_pages


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server with the pages of links; there are no connectors yet, but those that are shipped."""
    with serving_pages(tmp_path, monkeypatch) as found:
        yield found


@pytest.fixture
def shop(site: Site, nasty: Nasty) -> Nasty:
    """The connector `shop`: by an API key, by a consent with a shop's name, and by two words."""
    key = {
        **{"type": "api_key", "title": "API key", "private": True, "description": "Made in the shop's settings."},
        **{"verify": {"url": f"{nasty.url}/records"}},
    }
    consent = nasty.auth(title="Sign in", optional={"region": "extra.region"}, hosts=["api.shop.example"])
    site.add_connector("shop", {"key": key, "consent": consent})
    site.world.add_application("shop", nasty)
    return nasty
