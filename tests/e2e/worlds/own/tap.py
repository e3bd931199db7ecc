"""A Singer tap that does on purpose what real ones do when they should not, and rotates its refresh token."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

NUMBER = {"type": ["number", "null"]}
SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "amount": NUMBER}}


def say(kind, **rest):
    print(json.dumps({"type": kind, **rest}))


def schema():
    say("SCHEMA", stream="items", schema=SCHEMA, key_properties=["id"])


def record(number, **fields):
    say("RECORD", stream="items", record={"id": number, "name": f"name {number}", "amount": number / 2, **fields})


def rotate(config, path):
    """Read the API with a token that is got for the refresh token, which is another one from then on."""
    body = json.dumps({"refresh_token": config["refresh_token"]}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{config['url']}/token", body)) as answer:
        tokens = json.load(answer)
    Path(path).write_text(json.dumps({**config, "refresh_token": tokens["refresh_token"]}))
    head = {"Authorization": f"Bearer {tokens['access_token']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{config['url']}/items", headers=head)) as answer:
        found = json.load(answer)["records"]
    schema()
    for row in found:
        record(row["id"], name=row["name"])
    say("STATE", value={"bookmarks": {"items": {"at": len(found)}}})


def chatter(config, path):
    schema()
    for number in range(1, 21):
        print(f"read {number * 5} %")
        print(json.dumps({"progress": number, "of": 20}))
        print("{half of something", number)
        record(number)


def not_a_number(config, path):
    schema()
    record(1)
    record(2, amount=float("nan"))


def too_large(config, path):
    schema()
    record(1)
    print('{"type": "RECORD", "stream": "items", "record": {"id": 2, "name": "two", "amount": 1e400}}')


def undeclared(config, path):
    schema()
    record(1)
    for number in range(1, 11):
        say("RECORD", stream="surprise", record={"id": number, "what": f"thing {number}"})


def misfit(config, path):
    schema()
    for number in range(1, 11):
        record(number, **({"amount": "a lot"} if number == 7 else {}))


def broad(config, path):
    say("SCHEMA", stream="items", schema={"type": "object"}, key_properties=[])
    say("RECORD", stream="items", record={f"c{number}": number for number in range(1_000_000)})


def gone(config, path):
    """Fail for a stream of the catalog that there is no more."""
    catalog = json.loads(Path(sys.argv[sys.argv.index("--catalog") + 1]).read_text())
    names = [stream["stream"] for stream in catalog["streams"]]
    raise KeyError(f"no stream {names[0]}")


def main():
    path = sys.argv[sys.argv.index("--config") + 1]
    config = json.loads(Path(path).read_text())
    if "--discover" in sys.argv:
        key = [{"breadcrumb": [], "metadata": {"inclusion": "available", "table-key-properties": ["id"]}}]
        print(
            json.dumps({"streams": [{"tap_stream_id": "items", "stream": "items", "schema": SCHEMA, "metadata": key}]})
        )
        return
    try:
        globals()[config["how"]](config, path)
    except urllib.error.HTTPError as error:
        print(f"CRITICAL {error.code} Server Error: {error.reason}", file=sys.stderr)
        sys.exit(1)


main()
