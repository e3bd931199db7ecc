"""The exceptions that tell the host who must act on a failure."""

from __future__ import annotations

EXIT_CODES = {"config": 78, "transient": 75, "system": 1}
"""Exit code of a run that failed, by failure type (78 and 75 as in sysexits.h)."""
EXIT_TERMINATED = 143
EXIT_BROKEN_PIPE = 141


class ConnectorError(Exception):
    """A failure whose text is fit to be shown as it is, without a traceback.

    :param text: what happened and what to do; never put a credential into it
    """

    failure_type = "system"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class ConfigError(ConnectorError):
    """The step's fields or the credentials are wrong. Ends the run; the host does not retry."""

    failure_type = "config"


class TransientError(ConnectorError):
    """A retry may heal it: the other system is down, busy or limits the rate."""

    failure_type = "transient"


class MessageError(ConnectorError):
    """One message cannot be processed; the step's `on_error` decides whether the others go on.

    :param text: what is wrong with the message
    :param failure_type: `config`, `transient` or `system`; it counts where `on_error` is `fail`
    :raises ValueError: the failure type is none of the three
    """

    def __init__(self, text: str, failure_type: str = "system") -> None:
        super().__init__(text)
        exit_code(failure_type)
        self.failure_type = failure_type


class NotJson(ConnectorError):
    """A value that a connector wants to send cannot be written as JSON."""


class Ended(BaseException):
    """The run is to end now with this exit code; everything there is to say has been said.

    Not an :class:`Exception`, so that a connector's `except Exception` does not hold it up.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def exit_code(failure_type: str) -> int:
    """Return the exit code for a failure type.

    :raises ValueError: it is none of `config`, `transient`, `system`
    """
    try:
        return EXIT_CODES[failure_type]
    except KeyError:
        raise ValueError(f"failure_type is {failure_type!r}, not one of {', '.join(EXIT_CODES)}") from None
