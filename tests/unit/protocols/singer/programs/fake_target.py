"""A target that keeps the lines it reads in a file and says its state, in the form its configuration asks for."""

import json
import sys
from pathlib import Path

config_file = Path(sys.argv[sys.argv.index("--config") + 1])
config = json.loads(config_file.read_text())
if "out" not in config:
    sys.exit("KeyError: 'out'")
config_file.write_text(json.dumps({**config, "token": "new"}))
out = Path(config["out"])
results, state = [], None
for lines, line in enumerate(sys.stdin, start=1):
    message = json.loads(line)
    with out.open("a") as kept:
        kept.write(line)
    if lines == config.get("leave_after"):
        sys.exit(0)
    if lines == config.get("die_after"):
        print("psycopg2.OperationalError: connection reset by peer", file=sys.stderr)
        sys.exit(1)
    if message["type"] == "STATE":
        state = message["value"]
    if message["type"] == "RECORD":
        record = message["record"]
        failed = {"success": False, "error": "400: no email"} if record.get("bad") else {"success": True, "id": "r1"}
        results.append({**failed, "externalId": record.get("externalId"), "padding": "x" * config.get("padding", 0)})
    if config.get("hotglue"):
        fail = len([each for each in results if not each["success"]])
        print(json.dumps({"bookmarks": {"Orders": results}, "summary": {"Orders": {"fail": fail}}}))
if state is not None and not config.get("hotglue"):
    print(json.dumps(state))
