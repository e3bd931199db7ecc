"""A small component in FlowMate's own form, without the SDK, so that tests can break each part of it."""

import json
import sys

GOOD_KEY = "right-key"


def say(**event):
    print(json.dumps(event), flush=True)


def fail(text, code=1, failure_type="system"):
    say(type="ERROR", message=text, failure_type=failure_type)
    sys.exit(code)


def describe():
    say(connector=1, name="piece", triggers={"orders": {}}, actions={"save": {}})


def check(line):
    if line["credentials"].get("apiKey") != GOOD_KEY:
        say(type="CHECK", ok=False, message="wrong key")
    else:
        say(type="CHECK", ok=True)


def orders(line):
    last = (line["state"] or {}).get("last", 0)
    for number in range(last + 1, 11):
        say(type="MESSAGE", message={"data": {"id": number, "name": f"order {number}"}})
        if number % 4 == 0:
            say(type="STATE", state={"last": number})
    say(type="STATE", state={"last": 10})


def save(line):
    for text in sys.stdin:
        message = json.loads(text)["message"]
        say(type="MESSAGE", message={"data": message["data"]})
        say(type="RESULT", id=message["id"])


def main():
    verb = sys.argv[1]
    if verb == "describe":
        return describe()
    line = json.loads(sys.stdin.readline())
    if verb == "check":
        return check(line)
    if line["credentials"].get("apiKey") != GOOD_KEY:
        fail("wrong key", 78, "config")
    function = {"orders": orders, "save": save}.get(sys.argv[2])
    if function is None:
        fail("no such function", 78, "config")
    return function(line)


main()
