"""A small Singer tap, so that tests can break each part of it."""

import argparse
import json
import sys
from pathlib import Path

TOKEN = "right-token"
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "updated": {"type": "string"}, "name": {"type": "string"}},
}
SETTINGS = {
    "type": "object",
    "properties": {"url": {"type": "string"}, "token": {"type": "string", "secret": True}},
    "required": ["token"],
}


def say(**message):
    print(json.dumps(message), flush=True)


def stream():
    inclusion = {
        "inclusion": "available",
        "forced-replication-method": "INCREMENTAL",
        "valid-replication-keys": ["updated"],
    }
    return {
        "tap_stream_id": "things",
        "stream": "things",
        "schema": SCHEMA,
        "key_properties": ["id"],
        "replication_key": "updated",
        "replication_method": "INCREMENTAL",
        "metadata": [{"breadcrumb": [], "metadata": {"table-key-properties": ["id"], **inclusion}}],
    }


def authorise(config):
    if config.get("token") != TOKEN:
        print("Exception: 401 Unauthorized", file=sys.stderr)
        sys.exit(1)


def sync(catalog, state):
    if not any(each["tap_stream_id"] == "things" for each in catalog["streams"]):
        return
    say(type="SCHEMA", stream="things", schema=SCHEMA, key_properties=["id"], bookmark_properties=["updated"])
    since = state.get("bookmarks", {}).get("things", {}).get("replication_key_value", "")
    for number in range(1, 11):
        updated = f"2026-01-{number:02d}"
        if updated >= since:
            say(type="RECORD", stream="things", record={"id": number, "updated": updated, "name": f"n{number}"})
            if number % 4 == 0:
                say(type="STATE", value={"bookmarks": {"things": {"replication_key_value": updated}}})
    say(type="STATE", value={"bookmarks": {"things": {"replication_key_value": "2026-01-10"}}})


def main():
    parser = argparse.ArgumentParser()
    for name in ("config", "catalog", "state", "format"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--test", nargs="?", const="all")
    for name in ("discover", "about"):
        parser.add_argument(f"--{name}", action="store_true")
    options = parser.parse_args()
    if options.about:
        return print(
            json.dumps({"name": "tap", "settings": SETTINGS, "capabilities": ["catalog", "discover", "state"]})
        )
    with Path(options.config).open() as file:
        config = json.load(file)
    authorise(config)
    if options.test:
        return None
    if options.discover:
        return print(json.dumps({"streams": [stream()]}, indent=2))
    with Path(options.catalog).open() as file:
        catalog = json.load(file)
    state = {}
    if options.state:
        with Path(options.state).open() as file:
            state = json.load(file)
    return sync(catalog, state)


main()
