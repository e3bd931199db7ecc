"""A Singer target that puts each record at a web service, under its key, and tells its schema there."""

import json
import sys
import urllib.request
from pathlib import Path


def put(path, value):
    request = urllib.request.Request(
        config["server"] + path,
        data=json.dumps(value).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    urllib.request.urlopen(request).close()


config = json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
keys = {}
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "SCHEMA":
        keys[message["stream"]] = message["key_properties"]
        put(f"/schemas/{message['stream']}", message)
    elif message["type"] == "RECORD":
        record = message["record"]
        key = "-".join(str(record[name]) for name in keys[message["stream"]])
        put(f"/{message['stream']}/{key}", record)
    elif message["type"] == "STATE":
        print(json.dumps(message["value"]), flush=True)
