"""How a command and its arguments are declared."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. Help texts have no square brackets and no percent signs: Airflow's parser reads them as markup.

    :param options: what else `argparse` is told
    """

    flags: tuple[str, ...]
    help: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    :param handler: `module:function`, imported when the command runs, so that no command waits for another's imports
    :param examples: command lines without the program's name
    """

    name: str
    help: str
    handler: str
    arguments: Sequence[Argument] = ()
    examples: Sequence[str] = ()

    def load(self) -> Callable[[Namespace], int]:
        """Return the function that runs the command and gives its exit code."""
        module, _, name = self.handler.partition(":")
        function: Callable[[Namespace], int] = getattr(import_module(module), name)
        return function

    def epilog(self, program: str) -> str:
        """Return the examples, as the help shows them."""
        return "\n".join(["examples:", *(f"  {program} {example}" for example in self.examples)])


@dataclass(frozen=True, slots=True)
class Group:
    """Commands under one name."""

    name: str
    help: str
    commands: Sequence[Command]


Entry: TypeAlias = Command | Group

FORMAT = Argument(
    ("--format",),
    "for people or for programs (default: human)",
    {"choices": ["human", "json"], "default": "human"},
)
