"""How a step fails.

StepError
├── ConfigFailure       the author must change something; another try would fail the same way
└── TransientFailure    another try may succeed
"""

from __future__ import annotations


class StepError(Exception):
    """A step failed; the text says what, where and what to do.

    :param exit_code: of the component, when it ended by itself with one that is not zero
    """

    def __init__(self, text: str, exit_code: int | None = None) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class ConfigFailure(StepError):
    """The flow, a connection or an image must be changed first: no retry."""


class TransientFailure(StepError):
    """Another try may succeed."""
