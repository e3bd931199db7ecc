"""A tap of a few lines: a table of five records, with a catalog, bookmarks and a token that changes with each run."""

import argparse
import json
import sys
from pathlib import Path

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "total": {"type": ["number", "null"]},
        "buyer": {"type": "object", "properties": {"email": {"type": "string"}, "phone": {"type": "string"}}},
        "updated": {"type": "string"},
        "blob": {},
    },
}
INCLUSIONS = {"id": "automatic", "updated": "automatic", "blob": "unsupported"}


def catalog():
    metadata = [
        {"breadcrumb": ["properties", name], "metadata": {"inclusion": INCLUSIONS.get(name, "available")}}
        for name in SCHEMA["properties"]
    ]
    root = {"table-key-properties": ["id"], "valid-replication-keys": ["updated"], "selected": False}
    metadata.append({"breadcrumb": [], "metadata": root})
    return {"streams": [{"tap_stream_id": "orders", "stream": "orders", "schema": SCHEMA, "metadata": metadata}]}


def say(**message):
    print(json.dumps(message), flush=True)


def sync(options, config):
    chosen = json.loads(Path(options.catalog).read_text())["streams"][0] if options.catalog else None
    if chosen is None:
        return
    metadata = {tuple(each["breadcrumb"]): each["metadata"] for each in chosen["metadata"]}
    since = json.loads(Path(options.state).read_text())["bookmarks"]["orders"] if options.state else ""
    incremental = metadata[()].get("replication-method") == "INCREMENTAL"
    say(type="STATE", value={"bookmarks": {"orders": since}})
    print("reading orders: 5 of 5")
    say(type="SCHEMA", stream="orders", schema=SCHEMA, key_properties=["id"], bookmark_properties=["updated"])
    for number in range(1, 6):
        record = {
            "id": number,
            "total": number * 1.5,
            "buyer": {"email": "a@b", "phone": "1"},
            "updated": f"2024-0{number}",
        }
        if incremental and record["updated"] < since:
            continue
        record = {name: part for name, part in record.items() if metadata[("properties", name)]["selected"]}
        if "buyer" in record:
            place = ("properties", "buyer", "properties")
            record["buyer"] = {
                key: part for key, part in record["buyer"].items() if metadata[(*place, key)]["selected"]
            }
        say(type="RECORD", stream="orders", record=record, time_extracted="2024-06-01T00:00:00Z")
    if incremental:
        say(type="STATE", value={"bookmarks": {"orders": "2024-05"}})


def main():
    parser = argparse.ArgumentParser()
    for name in ("config", "catalog", "state", "format"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--test", nargs="?", const="all", choices=["all", "schema"])
    parser.add_argument("--discover", action="store_true")
    parser.add_argument("--about", action="store_true")
    options = parser.parse_args()
    if options.about:
        print("a warning first")
        print(json.dumps({"name": "fake-tap", "settings": {"properties": {"token": {"type": "string"}}}}, indent=2))
        return
    config = json.loads(Path(options.config).read_text())
    if config["token"] == "wrong":
        print("ERROR 401 Client Error: Unauthorized for url", file=sys.stderr)
        sys.exit(1)
    config["token"] += "-next"
    Path(options.config).write_text(json.dumps(config))
    if options.discover:
        print('{"level": "info", "message": "looking around"}')
        print(json.dumps(catalog(), indent=2))
        print("done")
    elif options.test is None:
        sync(options, config)
        if config.get("fail"):
            print("Traceback (most recent call last):\n  File x\nRuntimeError: 503 Server Error", file=sys.stderr)
            sys.exit(1)


main()
