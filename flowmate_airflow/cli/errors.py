"""How a command ends that cannot do what it was asked to."""

from __future__ import annotations

import sys
from argparse import Namespace

from flowmate_airflow.cli.commands import Command

FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130


class CommandError(Exception):
    """The command failed; the text says why."""

    code = FAILED


class UsageError(CommandError):
    """The command was called in a way that cannot work."""

    code = WRONG_USAGE


def run_command(command: Command, arguments: Namespace) -> int:
    """Run a command and return its exit code; what went wrong is told on standard error."""
    from flowmate_airflow.settings import SettingError
    from flowmate_airflow.store.errors import StoreError

    try:
        code = command.load()(arguments)
        sys.stdout.flush()
    except CommandError as error:
        print(error, file=sys.stderr)
        return error.code
    except SettingError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    except StoreError as error:
        print(error, file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain at exit when it flushes stdout.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return code
