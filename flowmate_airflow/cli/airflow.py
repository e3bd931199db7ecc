"""The commands as `airflow flowmate …`. Airflow imports this module for every command line of its own, so it imports
nothing of FlowMate but the list of commands."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from flowmate_airflow.cli.commands import COMMANDS, Argument, Command, Entry, Group

PROGRAM = "airflow flowmate"


def get_flowmate_commands() -> list[Any]:
    """Return the group `flowmate` as Airflow's parser wants it: a list of its CLI commands."""
    from airflow.cli.cli_config import GroupCommand

    return [
        GroupCommand(
            name="flowmate",
            help="Check, try and look at flows in YAML",
            subcommands=[_translated(entry) for entry in COMMANDS],
        )
    ]


def _translated(entry: Entry) -> Any:
    from airflow.cli.cli_config import ActionCommand, GroupCommand

    if isinstance(entry, Group):
        commands = [_translated(command) for command in entry.commands]
        return GroupCommand(name=entry.name, help=entry.help, subcommands=commands)
    return ActionCommand(
        name=entry.name,
        help=entry.help,
        func=_function(entry),
        args=[_argument(argument) for argument in entry.arguments],
        epilog=entry.epilog(PROGRAM),
    )


def _argument(argument: Argument) -> Any:
    from airflow.cli.cli_config import Arg

    make: Callable[..., Any] = Arg  # Airflow's own has no types
    return make(argument.flags, help=argument.help, **argument.options)


def _function(command: Command) -> Callable[[Namespace], None]:
    def run(arguments: Namespace) -> None:
        # Airflow ignores what a command returns; its exit code is what it raises.
        from flowmate_airflow.cli.errors import run_command

        code = run_command(command, arguments)
        if code:
            sys.exit(code)

    return run
