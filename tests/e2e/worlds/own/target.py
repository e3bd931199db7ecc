"""A Singer target that ends too early on purpose; what it has got by then lies in a file below /data."""

import json
import sys
from pathlib import Path


def main():
    config = json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
    state = None
    with Path(f"/data/{config['file']}").open("a") as file:
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
