"""A Singer target that ends too early on purpose; what it has got by then lies in a file below /data."""

import json
import sys


def main():
    with open(sys.argv[sys.argv.index("--config") + 1]) as file:
        config = json.load(file)
    state = None
    with open(f"/data/{config['file']}", "a") as file:
        for number, line in enumerate(map(json.loads, sys.stdin)):
            if number == config.get("quit_after"):
                break
            if number == config.get("die_after"):
                print("CRITICAL the disk is full", file=sys.stderr)
                sys.exit(1)
            if line["type"] == "RECORD":
                file.write(json.dumps(line["record"]) + "\n")
            elif line["type"] == "STATE":
                state = line["value"]
    if state is not None:
        print(json.dumps(state))


main()
