"""A small Airbyte destination, so that tests can break each part of it."""

import json
import sys

SPEC = {"type": "object", "properties": {"path": {"type": "string"}}}


def say(kind, **body):
    print(json.dumps({"type": kind, **body}), flush=True)


def write():
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "STATE":
            print(line, end="", flush=True)


def main():
    verb = sys.argv[1]
    if verb == "spec":
        return say("SPEC", spec={"connectionSpecification": SPEC, "supported_destination_sync_modes": ["append"]})
    if verb == "check":
        return say("CONNECTION_STATUS", connectionStatus={"status": "SUCCEEDED"})
    return write()


main()
