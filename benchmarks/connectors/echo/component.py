"""A component that costs next to nothing, so that what is around it shows.

`run echo` hands on what it gets, `run take` only counts it; `run make [COUNT]` makes messages, so that it also works
where nothing can be fed.
"""

import json
import sys


def echo():
    write = sys.stdout.write
    sys.stdin.readline()
    for line in sys.stdin:
        message = json.loads(line)["message"]
        write(json.dumps({"type": "MESSAGE", "message": message}) + "\n")


def take():
    sys.stdin.readline()
    count = sum(1 for _ in sys.stdin)
    sys.stdout.write(json.dumps({"type": "MESSAGE", "message": {"data": {"count": count}}}) + "\n")


def make(arguments):
    count = int(arguments[0]) if arguments else json.loads(sys.stdin.readline())["config"]["count"]
    write = sys.stdout.write
    for number in range(count):
        write(json.dumps({"type": "MESSAGE", "message": {"data": {"number": number, "text": "x" * 100}}}) + "\n")


if __name__ == "__main__":
    if sys.argv[2] == "echo":
        echo()
    elif sys.argv[2] == "take":
        take()
    else:
        make(sys.argv[3:])
    sys.stdout.flush()
