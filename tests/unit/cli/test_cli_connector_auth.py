"""`flowmate connectors show` tells how a connector logs in: what is asked, what a login brings, and why its scopes."""

from __future__ import annotations

from pathlib import Path

from cli_harness import Flowmate

MANIFEST = """
connector: 1
name: cloud
version: "1"
title: A cloud
image: example/cloud:1
triggers: {items: {title: Items}}
auth:
  consent:
    type: oauth2
    title: Log in at the cloud
    description: Ask your administrator for the region.
    required: {region: extra.region}
    scopes: {items.read: To read your items., offline: ""}
    authorize_url: https://{region}.example.com/consent
    token_url: https://{region}.example.com/token
  session:
    type: session
    login: {method: POST, url: https://a.example.com/login, json: {u: "{username}", p: "{password}"}}
    token_path: token
  key: {type: api_key}
"""


def test_the_ways_to_log_in_are_shown(flowmate: Flowmate, home: Path) -> None:
    folder = home / "airflow" / "connectors" / "cloud"
    folder.mkdir()
    (folder / "connector.yaml").write_text(MANIFEST)
    lines = flowmate("connectors", "show", "cloud").out.splitlines()
    start = lines.index("  consent: Log in at the cloud, oauth2")
    assert lines[start : lines.index("Triggers:") - 1] == [
        "  consent: Log in at the cloud, oauth2",
        "    Ask your administrator for the region.",
        "    password      by login  as access_token",
        "    extra.region  required  as region",
        "    scope items.read  To read your items.",
        "    scope offline",
        "    flowmate links add TENANT cloud --method consent",
        "",
        "  session: session",
        "    password  by login  as token",
        "    login     to log in  as username",
        "    password  to log in  as password",
        "    flowmate links add TENANT cloud --method session",
        "",
        "  key: api_key",
        "    password  required  as key",
        "    airflow connections add my_cloud --conn-type generic --conn-password PASSWORD "
        '--conn-extra \'{"auth": "key"}\'',
    ]
