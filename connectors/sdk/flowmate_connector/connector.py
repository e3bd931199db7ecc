"""The decorators: which functions a connector has, and its command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from flowmate_connector.context import Context
from flowmate_connector.message import Message

TriggerFunction = Callable[[Context], Any]
ActionFunction = Callable[[Context, Message], Any]
BatchFunction = Callable[[Context, Iterator[Message]], Any]
CheckFunction = Callable[[Context], Any]
SubscribeFunction = Callable[[Context], Any]

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["trigger", "action", "batch"]


@dataclass(frozen=True)
class Function:
    """One function of a connector and how it is called.

    :param kind: `trigger` is called once, `action` once a message, `batch` once with all messages
    """

    name: str
    kind: Kind
    call: Callable[..., Any]


class Connector:
    """A connector: register functions with its decorators, then call :meth:`main`.

    A function returns one result or yields several. A result is the data of a message (any JSON value), a
    :class:`Message`, or None for nothing.

    :param name: the connector's name, as in its manifest
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions: dict[str, Function] = {}
        self.checker: CheckFunction | None = None
        self.subscribers: dict[str, SubscribeFunction] = {}
        self.unsubscribers: dict[str, SubscribeFunction] = {}

    def trigger(self, name: str) -> Callable[[F], F]:
        """Register a function that pulls data: `def f(ctx)`.

        :raises ValueError: the connector has a function of that name
        """
        return self._register(name, "trigger")

    def action(self, name: str, *, batch: bool = False) -> Callable[[F], F]:
        """Register a function that takes messages: `def f(ctx, message)`.

        Data that it returns is emitted under the id of the message it was called with, with its metadata and
        passthrough; a :class:`Message` is emitted as it is.

        :param batch: call it once, `def f(ctx, messages)`, with an iterator that reads as it goes
        :raises ValueError: the connector has a function of that name
        """
        return self._register(name, "batch" if batch else "action")

    def webhook(self, name: str) -> Callable[[F], F]:
        """Register a trigger that the other system sends events to: `def f(ctx, message)`, once an event.

        An event is a message as an action gets it; its `metadata["webhook"]` tells the request.

        :raises ValueError: the connector has a function of that name
        """
        return self._register(name, "action")

    def subscribe(self, name: str) -> Callable[[F], F]:
        """Register the function that tells the other system to send events to `ctx.webhook.url`: `def f(ctx)`.

        It returns a :class:`Subscription`, or the data of one that never ends. It may be called again for what it has
        done already, with `ctx.webhook.subscription` where that is known: then it renews the subscription, or makes a
        new one if the other system has none any more.

        :param name: of the trigger that gets the events
        :raises ValueError: the trigger has such a function already
        """
        return self._for_trigger(self.subscribers, name, "subscribe")

    def unsubscribe(self, name: str) -> Callable[[F], F]:
        """Register the function that takes `ctx.webhook.subscription` back: `def f(ctx)`.

        That it is gone already is no failure. Where it is None nobody knows whether the other system has one:
        `ctx.webhook.id` and `ctx.webhook.url` tell which it would be.

        :param name: of the trigger that gets the events
        :raises ValueError: the trigger has such a function already
        """
        return self._for_trigger(self.unsubscribers, name, "unsubscribe")

    def check(self, function: CheckFunction) -> CheckFunction:
        """Register the function that tries the credentials; it raises ConfigError when they are wrong."""
        self.checker = function
        return function

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Do what the command line says and exit.

        :param arguments: instead of the command line
        :raises SystemExit: always
        """
        from flowmate_connector.runner import run

        sys.exit(run(self, list(sys.argv[1:] if arguments is None else arguments)))

    def _for_trigger(self, functions: dict[str, SubscribeFunction], name: str, verb: str) -> Callable[[F], F]:
        def register(function: F) -> F:
            if name in functions:
                raise ValueError(f"connector {self.name} has two functions that {verb} for {name}")
            functions[name] = function
            return function

        return register

    def _register(self, name: str, kind: Kind) -> Callable[[F], F]:
        def register(function: F) -> F:
            if name in self.functions:
                raise ValueError(f"connector {self.name} has two functions named {name}")
            self.functions[name] = Function(name, kind, function)
            return function

        return register
