"""A small Airbyte source, so that tests can break each part of it."""

import json
import sys
from pathlib import Path

TOKEN = "right-token"
SCHEMA = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "updated": {"type": "string"}, "name": {"type": "string"}},
}
SPEC = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "credentials": {
            "type": "object",
            "properties": {"token": {"type": "string", "airbyte_secret": True}, "region": {"type": "string"}},
        },
    },
}


def say(kind, **body):
    print(json.dumps({"type": kind, **body}), flush=True)


def status(value):
    descriptor = {"stream_descriptor": {"name": "things"}, "status": value}
    say("TRACE", trace={"type": "STREAM_STATUS", "emitted_at": 1, "stream_status": descriptor})


def state(updated, count):
    entry = {"stream_descriptor": {"name": "things"}, "stream_state": {"updated": updated}}
    say("STATE", state={"type": "STREAM", "stream": entry, "sourceStats": {"recordCount": count}})


def given(option):
    if option not in sys.argv:
        return None
    with Path(sys.argv[sys.argv.index(option) + 1]).open() as file:
        return json.load(file)


def discover():
    stream = {
        "name": "things",
        "json_schema": SCHEMA,
        "supported_sync_modes": ["full_refresh", "incremental"],
        "source_defined_cursor": True,
        "default_cursor_field": ["updated"],
        "source_defined_primary_key": [["id"]],
    }
    say("CATALOG", catalog={"streams": [stream]})


def check(config):
    right = (config.get("credentials") or {}).get("token") == TOKEN
    say(
        "CONNECTION_STATUS",
        connectionStatus={"status": "SUCCEEDED" if right else "FAILED", "message": "401" if not right else None},
    )


def read(catalog, old):
    names = {each["stream"]["name"] for each in catalog["streams"]}
    if names != {"things"}:
        text = f"there is no stream {sorted(names - {'things'})}"
        say(
            "TRACE",
            trace={"type": "ERROR", "emitted_at": 1, "error": {"message": text, "failure_type": "config_error"}},
        )
        sys.exit(1)
    since = old[0]["stream"]["stream_state"].get("updated", "") if old else ""
    status("STARTED")
    sent = 0
    for number in range(1, 11):
        updated = f"2026-01-{number:02d}"
        if updated > since:
            data = {"id": number, "updated": updated, "name": f"n{number}"}
            say("RECORD", record={"stream": "things", "data": data, "emitted_at": 1})
            sent += 1
            if number % 4 == 0:
                state(updated, sent)
                sent = 0
    state("2026-01-10", sent)
    status("COMPLETE")


def main():
    verb = sys.argv[1]
    if verb == "spec":
        return say("SPEC", spec={"connectionSpecification": SPEC})
    config = given("--config")
    if verb == "check":
        return check(config)
    if verb == "discover":
        return discover()
    return read(given("--catalog"), given("--state"))


main()
