"""A small Singer target, so that tests can break each part of it."""

import json
import sys

SETTINGS = {"type": "object", "properties": {"path": {"type": "string"}}}


def main():
    if "--about" in sys.argv:
        return print(json.dumps({"name": "target", "settings": SETTINGS, "capabilities": ["about"]}))
    state = None
    for line in sys.stdin:
        message = json.loads(line)
        if message["type"] == "STATE":
            state = message["value"]
        if message["type"] == "RECORD":
            message["record"]["id"] += 1
    if state is not None:
        print(json.dumps(state))
    return None


main()
