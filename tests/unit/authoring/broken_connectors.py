"""Connectors with one thing wrong, and the check that must say so, with its reason."""

from __future__ import annotations

from conformance_harness import Broken

BROKEN = [
    # It does not even start.
    Broken("dies", "piece", "\nmain()\n", "\nraise ImportError('no module')\n", "starts", "exit code 1"),
    Broken("silent_spec", "source", 'if verb == "spec":', 'if verb == "spex":', "starts", "exit code 1"),
    Broken("says_nothing", "piece", "describe()\n    line", "None\n    line", "starts", "answered nothing"),
    # It is something else than its manifest says.
    Broken("other_functions", "piece", '"orders": {}', '"order": {}', "manifest", "did you mean `order`?"),
    Broken("action_as_trigger", "piece", 'actions={"save": {}}', "actions={}", "manifest", "no function `save`"),
    Broken(
        "other_setting",
        "tap",
        "url: {type: string}",
        "uri: {type: string}",
        "manifest",
        "`uri` of `read`",
        manifest=True,
    ),
    Broken(
        "new_setting",
        "source",
        '"properties": {\n        "count"',
        '"required": ["site"], "properties": {"site": {"type": "string"}, "count"',
        "manifest",
        "needs the setting `site`",
    ),
    # Its check is wrong.
    Broken("refuses_good", "piece", 'GOOD_KEY = "right-key"', 'GOOD_KEY = "other"', "check_good", "wrong key"),
    Broken(
        "accepts_bad",
        "piece",
        "!= GOOD_KEY:\n        say",
        "== '':\n        say",
        "check_bad",
        "wrong credentials work",
    ),
    Broken(
        "accepts_bad_tap",
        "tap",
        "authorise(config)\n    if options.test",
        "if options.test",
        "check_bad",
        "wrong credentials work",
    ),
    Broken(
        "accepts_bad_source",
        "source",
        '.get("token") == TOKEN',
        ".get('token') != ''",
        "check_bad",
        "wrong credentials work",
    ),
    Broken(
        "crashes_at_bad",
        "piece",
        'say(type="CHECK", ok=False, message="wrong key")',
        "raise KeyError('x')",
        "check_bad",
        "gave no answer",
    ),
    Broken(
        "retries_bad",
        "piece",
        'say(type="CHECK", ok=False, message="wrong key")',
        "fail('no', 75, 'transient')",
        "check_bad",
        "fails as `transient`",
    ),
    # Its streams cannot be used.
    Broken("no_streams", "source", '{"streams": [stream]}', '{"streams": []}', "discover", "without a stream"),
    Broken("twice", "source", '{"streams": [stream]}', '{"streams": [stream, stream]}', "discover", "listed twice"),
    Broken("no_key", "source", '[["id"]]', '[["nr"]]', "discover", "primary key `nr` is not in its schema"),
    Broken(
        "no_cursor",
        "tap",
        '"replication_key": "updated"',
        '"replication_key": "changed"',
        "discover",
        "`changed` is not in its schema",
    ),
    Broken("no_catalog", "tap", '{"streams": [stream()]}', "{'x': 1}", "discover", "printed no catalog"),
    # Its records are wrong.
    Broken(
        "wrong_type",
        "piece",
        '"id": number, "name"',
        '"id": str(number), "name"',
        "read",
        "`id` '1' is not of type 'integer'",
    ),
    Broken(
        "missing_field",
        "piece",
        '{"id": number, "name"',
        '{"nr": number, "name"',
        "read",
        "'id' is a required property",
    ),
    Broken("wrong_record", "source", '"name": f"n{number}"}', '"name": number}', "read", "does not fit its schema"),
    Broken(
        "no_schema",
        "tap",
        '    say(type="SCHEMA"',
        '    dict(type="SCHEMA"',
        "read",
        "without the schema of the stream",
    ),
    Broken("no_records", "tap", "if updated >= since:", "if False:", "read", "gave no record of any stream"),
    Broken(
        "broken_json",
        "piece",
        "print(json.dumps(event), flush=True)",
        "print(json.dumps(event)[:-1])",
        "read",
        "broken JSON",
    ),
    Broken("miscounts", "source", "state(updated, sent)", "state(updated, sent + 1)", "read", "were lost"),
    Broken(
        "throws_late",
        "piece",
        'say(type="STATE", state={"last": 10})',
        "raise OSError('gone')",
        "read",
        "OSError: gone",
    ),
    # It is not the same twice.
    Broken(
        "random",
        "piece",
        '"name": f"order {number}"',
        '"name": __import__("uuid").uuid4().hex',
        "repeat",
        "fields `name` have other values",
    ),
    Broken(
        "random_keys",
        "source",
        '"id": number, "updated"',
        '"id": number * __import__("os").getpid(), "updated"',
        "repeat",
        "the records are others",
    ),
    Broken(
        "random_field",
        "source",
        '"name": f"n{number}"',
        '"name": __import__("uuid").uuid4().hex',
        "repeat",
        "fields `name` have other values",
    ),
    Broken(
        "random_count", "tap", "range(1, 11)", "range(1, 11 + __import__('os').getpid())", "repeat", "records, then"
    ),
    # Its state is of no use.
    Broken("ignores_state", "tap", 'state.get("bookmarks", {})', "{}", "incremental", "9 records of `things`"),
    Broken("ignores_state_source", "source", "if updated > since", "if True", "incremental", "9 records of `things`"),
    Broken("ignores_state_piece", "piece", '(line["state"] or {})', "{}", "incremental", "10 records of the trigger"),
    Broken("no_state", "source", '    say("STATE"', '    dict(kind="STATE"', "incremental", "gave no state"),
    Broken(
        "chokes_on_state",
        "piece",
        '(line["state"] or {})',
        '(line["state"]["x"] if line["state"] else {})',
        "incremental",
        "does not take its own state",
    ),
    Broken(
        "state_too_early",
        "piece",
        'if number % 4 == 0:\n            say(type="STATE", state={"last": number})',
        'if number % 4 == 0:\n            say(type="STATE", state={"last": number + 1})',
        "resume",
        "lost 1 of 10 messages",
    ),
    # It does what nobody asked for.
    Broken(
        "any_function", "piece", ".get(sys.argv[2])", ".get(sys.argv[2], orders)", "unknown", "as if it had done so"
    ),
    Broken("any_stream_source", "source", 'if names != {"things"}', "if False", "unknown", "it gave 10 records"),
    # It loses or refuses messages.
    Broken(
        "loses_results",
        "piece",
        'say(type="RESULT", id=message["id"])',
        'message["id"].endswith("1") and say(type="RESULT", id=message["id"])',
        "write",
        "got 3 messages and reports 1",
    ),
    Broken(
        "strange_results",
        "piece",
        'say(type="RESULT", id=message["id"])',
        'say(type="RESULT", id="x")',
        "write",
        "`x`, which is no message",
    ),
    Broken(
        "refuses",
        "piece",
        'say(type="RESULT", id=message["id"])',
        'say(type="ERROR", id=message["id"], message="no room")',
        "write",
        "refused 3 of 3 messages: no room",
    ),
    Broken(
        "stops_reading",
        "target",
        "    for line in sys.stdin:\n",
        "    for line in sys.stdin:\n        raise SystemExit(3)\n",
        "write",
        "exit code 3",
    ),
    Broken("no_ack", "destination", 'print(line, end="", flush=True)', "pass", "write", "did not confirm"),
    Broken(
        "chokes_on_nothing",
        "piece",
        "def save(line):\n",
        "def save(line):\n    first = next(sys.stdin)\n",
        "empty",
        "exit code 1",
    ),
    Broken(
        "chokes_on_nothing_target",
        "target",
        "    if state is not None:\n        print(json.dumps(state))",
        "    print(json.dumps(dict(state)))",
        "empty",
        "exit code 1",
    ),
    # It tells secrets.
    Broken(
        "prints_config",
        "piece",
        "def orders(line):\n",
        "def orders(line):\n    print('config', line)\n",
        "secrets",
        "`apiKey` in the log",
    ),
    Broken(
        "logs_config",
        "tap",
        "authorise(config)\n    if",
        "print(config, file=sys.stderr)\n    authorise(config)\n    if",
        "secrets",
        "a marker in place of the secrets` in the log",
    ),
    Broken(
        "logs_quoted",
        "source",
        '    if verb == "check":',
        "    if verb == 'check':\n        import base64\n        text = config['credentials']['token'].encode()\n"
        '        print(base64.b64encode(text).decode())\n    if verb == "check":',
        "secrets",
        "in the log",
    ),
]


HANGS = [
    Broken(
        "hangs_in_check",
        "piece",
        "def check(line):\n",
        "def check(line):\n    __import__('threading').Event().wait()\n",
        "check_good",
        "did not end within",
    ),
    Broken(
        "hangs_after_work",
        "tap",
        "\nmain()\n",
        "\nmain()\n__import__('threading').Event().wait()\n",
        "read",
        "did not end within",
    ),
    Broken(
        "ignores_the_end",
        "piece",
        "def save(line):\n",
        "def save(line):\n    __import__('threading').Event().wait()\n",
        "empty",
        "did not end within",
    ),
]
