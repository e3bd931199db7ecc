"""The commands of the store: states and dead letters."""

from __future__ import annotations

from flowmate_airflow.cli.declarations import FORMAT, Argument, Command, Group

_YES = Argument(("--yes",), "do not ask", {"action": "store_true"})
_STEP = Argument(("--step",), "of this step only", {"metavar": "ID"})
_TENANT = Argument(("--tenant",), "of this tenant only", {"metavar": "NAME"})
_FLOW_ID = Argument(("flow",), "the flow's id", {"metavar": "FLOW"})
_ANY_FLOW = Argument(("flow",), "the flow's id (default: all flows)", {"metavar": "FLOW", "nargs": "?"})
_LETTER_IDS = Argument(
    ("--id",), "these dead letters only", {"metavar": "ID", "type": int, "nargs": "+", "action": "extend"}
)

STATE = Group(
    "state",
    "What steps remember between runs",
    (
        Command(
            "show",
            "Show states, and those that a run asked for and that are not valid yet",
            "flowmate_airflow.cli.state:show_state",
            (_ANY_FLOW, _STEP, _TENANT, FORMAT),
            ("state show", "state show orders --step read", "state show orders --format json"),
        ),
        Command(
            "set",
            "Make a JSON value the state of a step",
            "flowmate_airflow.cli.state:set_state",
            (
                _FLOW_ID,
                Argument(("step",), "the step's id", {"metavar": "STEP"}),
                Argument(("file",), "a file with the state as JSON; - reads standard input", {"metavar": "FILE"}),
                Argument(("--tenant",), "for this tenant", {"metavar": "NAME"}),
                Argument(("--force",), "also when no such step is found in the dags folder", {"action": "store_true"}),
            ),
            ("state set orders read state.json", "state set orders read - --tenant acme < state.json"),
        ),
        Command(
            "reset",
            "Forget states: the next run reads from the start",
            "flowmate_airflow.cli.state:reset_state",
            (_FLOW_ID, _STEP, _TENANT, _YES),
            ("state reset orders", "state reset orders --step read --yes"),
        ),
    ),
)

DEAD_LETTERS = Group(
    "dead-letters",
    "Messages that failed and were kept",
    (
        Command(
            "list",
            "List dead letters, and how many each step has",
            "flowmate_airflow.cli.deadletters:list_letters",
            (
                *(_ANY_FLOW, _STEP, _TENANT),
                Argument(("--run-id",), "of this run only", {"metavar": "RUN"}),
                Argument(
                    ("--limit",),
                    "at most so many; 0 is all (default: 50)",
                    {"metavar": "N", "type": int, "default": 50},
                ),
                FORMAT,
            ),
            ("dead-letters list", "dead-letters list orders --limit 0 --format json"),
        ),
        Command(
            "show",
            "Show one dead letter with its message and error",
            "flowmate_airflow.cli.deadletters:show_letter",
            (Argument(("id",), "the dead letter's id", {"metavar": "ID", "type": int}), FORMAT),
            ("dead-letters show 17", "dead-letters show 17 --format json"),
        ),
        Command(
            "replay",
            "Start a run of the flow for what waits, one for each step",
            "flowmate_airflow.cli.replay:replay",
            (_FLOW_ID, _STEP, _LETTER_IDS),
            ("dead-letters replay orders", "dead-letters replay orders --step saved --id 17 18"),
        ),
        Command(
            "release",
            "Let wait again what a replay took and never finished, as it was killed",
            "flowmate_airflow.cli.deadletters:release_letters",
            (
                Argument(("run_id",), "the run of the replay", {"metavar": "RUN"}),
                Argument(("--flow",), "of this flow only", {"metavar": "FLOW"}),
            ),
            ("dead-letters release manual__2026-01-31T08:00:00+00:00",),
        ),
        Command(
            "drop",
            "Remove dead letters; those being replayed stay",
            "flowmate_airflow.cli.deadletters:drop_letters",
            (
                *(_ANY_FLOW, _STEP, _TENANT, _LETTER_IDS),
                Argument(("--older-than",), "kept before that, such as 30d or 12h", {"metavar": "AGE"}),
                _YES,
            ),
            ("dead-letters drop orders --step saved", "dead-letters drop --older-than 30d --yes"),
        ),
    ),
)
