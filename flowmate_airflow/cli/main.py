"""The program `flowmate`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from flowmate_airflow import __version__
from flowmate_airflow.cli.commands import COMMANDS, Command, Entry, Group
from flowmate_airflow.cli.errors import WRONG_USAGE, run_command

PROGRAM = "flowmate"
_EXAMPLES = """\
examples:
  flowmate new flow hello         write a first flow
  flowmate lint                   check all flows below this folder
  flowmate run hello.yaml         run it here, without a scheduler
  flowmate connectors show http   what a connector can do
  flowmate lint -h                more about a command"""


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USAGE, f"{self.prog}: {_plain(message)} ({self.prog} -h tells more)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    :param arguments: instead of the process's own
    :raises SystemExit: after `-h`, `--version` and wrong usage
    """
    parsed = make_parser().parse_args(arguments)
    return run_command(parsed.flowmate_command, parsed)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog=PROGRAM,
        description="Flows in YAML, run by Airflow: check them, try them, look at them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _add(parser, COMMANDS)
    return parser


def _add(parser: argparse.ArgumentParser, entries: Sequence[Entry]) -> None:
    subparsers: Any = parser.add_subparsers(metavar="COMMAND", required=True)
    for entry in entries:
        added = subparsers.add_parser(
            entry.name,
            help=entry.help,
            description=f"{entry.help}.",
            epilog=entry.epilog(PROGRAM) if isinstance(entry, Command) else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if isinstance(entry, Group):
            _add(added, entry.commands)
            continue
        for argument in entry.arguments:
            added.add_argument(*argument.flags, help=argument.help, **argument.options)
        added.set_defaults(flowmate_command=entry)


def _plain(message: str) -> str:
    """Return argparse's complaint with a hint in place of a list of all choices."""
    from flowmate_airflow.flows.errors import did_you_mean

    match = re.fullmatch(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message)
    if match is None:
        return message.replace("the following arguments are required:", "missing:")
    what = "there is no command" if match[1] == "COMMAND" else f"{match[1]} cannot be"
    hint = did_you_mean(match[2], [choice.strip().strip("'") for choice in match[3].split(",")])
    return f"{what} `{match[2]}`; {hint}" if hint else f"{what} `{match[2]}`"


if __name__ == "__main__":
    sys.exit(main())
