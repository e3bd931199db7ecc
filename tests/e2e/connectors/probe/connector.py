"""A connector that speaks the protocol by hand, so that it can also break it."""

import json
import os
import signal
import sys
import time
from pathlib import Path

RIGHT_PASSWORD = "open-sesame"


def say(type_, **rest):
    print(json.dumps({"type": type_, **rest}), flush=type_ != "MESSAGE")


def messages():
    for line in sys.stdin:
        yield json.loads(line)["message"]


def emit(start):
    config = start["config"]
    text = "x" * config.get("size", 0)
    for number in range(config["count"]):
        say("MESSAGE", message={"data": {"number": number, "text": text}})
        if number % 10_000 == 0:
            say("PROGRESS", done=number, total=config["count"], text="made")


def heal(start):
    if start["context"]["try_number"] <= start["config"]["failures"]:
        say("ERROR", message="the other side is not there yet", failure_type="transient")
        sys.exit(75)
    say("MESSAGE", message={"data": {"try": start["context"]["try_number"]}})


def odd_text(start):
    # As JSON escapes, which is how a library writes them that does not care.
    how = start["config"]["how"]
    odd = "a\ud800b" if how == "surrogate" else "a\0b"
    message = {"id": "odd", "data": {"text": odd, odd: 1, "filler": "x" * start["config"].get("size", 0)}}
    if how == "nul_id":
        message = {"id": odd, "data": {"text": "a b"}}
    say("LOG", level="info", message=f"about to emit {odd}")
    say("PROGRESS", done=1, total=1, text=odd)
    say("MESSAGE", message=message)


def hang(start):
    if start["context"]["try_number"] > start["config"].get("tries", 1000):
        say("MESSAGE", message={"data": "over"})
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("LOG", level="info", message="hanging now")
    while True:
        time.sleep(3600)


def misbehave(start):  # noqa: C901 - a list of sins
    how = start["config"]["how"]
    write = sys.stdout.buffer.write
    if how == "binary":
        write(bytes(range(256)) * 100 + b"\n")
        say("MESSAGE", message={"data": "after the noise"})
    elif how == "half_json":
        write(b'{"type": "MESSAGE", "message": {"data": ')
    elif how == "no_newline":
        write(b'{"type": "MESSAGE", "message": {"data": "the last line"}}')
    elif how == "giant_line":
        for _ in range(1024):
            write(b"x" * 1024 * 1024)
    elif how == "crash":
        raise RuntimeError("it broke")
    elif how == "out_of_memory":
        held = [b"x" * 64 * 1024 * 1024 for _ in range(64)]
        say("MESSAGE", message={"data": len(held)})
    elif how == "config":
        say("ERROR", message="the field `how` is wrong", failure_type="config")
        sys.exit(78)
    elif how == "flood":
        for number in range(30_000):
            print(f"noise {number} " + "n" * 1000, file=sys.stderr)


def greet(start):
    credentials = start["credentials"]
    print("stdout has", json.dumps(credentials))
    print("stderr has", credentials["passphrase"], file=sys.stderr)
    for secret in credentials.values():
        say("LOG", level="warning", message=f"the log has {secret}")
    for _ in messages():
        say("MESSAGE", message={"data": {"greeted": credentials["username"]}})


def check(start):
    if start["credentials"].get("passphrase") != RIGHT_PASSWORD:
        say("ERROR", message="the other system refused the login", failure_type="config")
        sys.exit(78)
    for message in messages():
        say("MESSAGE", message=message)


def hand_on(start):
    for message in messages():
        if isinstance(message["data"], dict) and message["data"].get("number") in (3, 7):
            say("ERROR", id=message["id"], message=f"number {message['data']['number']} is bad", failure_type="system")
        else:
            say("MESSAGE", message=message)


def look(start):
    status = Path("/proc/self/status").read_text().splitlines()
    facts = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    for _ in messages():
        data = {
            "capabilities": facts["CapEff"],
            "no_new_privileges": facts["NoNewPrivs"],
            "environment": dict(os.environ),
            "arguments": sys.argv,
        }
        say("MESSAGE", message={"data": data})


FUNCTIONS = {
    "emit": emit,
    "heal": heal,
    "hang": hang,
    "odd_text": odd_text,
    "misbehave": misbehave,
    "greet": greet,
    "check": check,
    "pass": hand_on,
    "look": look,
}

if __name__ == "__main__":
    FUNCTIONS[sys.argv[2]](json.loads(sys.stdin.readline()))
    sys.stdout.flush()
