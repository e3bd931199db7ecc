"""One run of a connector: from its arguments to its exit code."""

from __future__ import annotations

import contextlib
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from flowmate_connector.channel import Channel
from flowmate_connector.context import Context
from flowmate_connector.errors import (
    EXIT_TERMINATED,
    ConfigError,
    ConnectorError,
    Ended,
    exit_code,
)
from flowmate_connector.inbox import parse_line
from flowmate_connector.manifest import load_manifest
from flowmate_connector.message import Message
from flowmate_connector.webhook import Subscription

if TYPE_CHECKING:
    from flowmate_connector.connector import Connector, Function

USAGE = "run FUNCTION, subscribe FUNCTION, unsubscribe FUNCTION, check or describe"


def run(connector: Connector, arguments: list[str]) -> int:
    """Do what the arguments say and return the exit code; takes over stdin, stdout and SIGTERM."""
    channel = Channel.take_over()
    signal.signal(signal.SIGTERM, _terminate)
    context = Context(connector.name, {}, channel.output, channel.read_line)
    try:
        try:
            _dispatch(connector, arguments, channel)
        except ConnectorError as error:
            context.send_error(error.text, error.failure_type)
            code = exit_code(error.failure_type)
        except Exception as error:
            _print_traceback(error)
            context.send_error(_describe(error), "system")
            code = exit_code("system")
        else:
            code = 0
        channel.output.close()
    except Ended as end:
        code = end.code
        if code != EXIT_TERMINATED:
            channel.output.close()
    return code


def _dispatch(connector: Connector, arguments: list[str], channel: Channel) -> None:
    verb = arguments[0] if arguments else ""
    if verb == "run" and len(arguments) == 2:
        _run_function(connector, arguments[1], channel)
    elif verb in ("subscribe", "unsubscribe") and len(arguments) == 2:
        _subscription(connector, verb, arguments[1], channel)
    elif verb == "check" and len(arguments) == 1:
        _check(connector, channel)
    elif verb == "describe" and len(arguments) == 1:
        channel.output.send(load_manifest())
    else:
        raise ConfigError(f"{connector.name} does not know {' '.join(arguments)!r}; it does {USAGE}")


def _run_function(connector: Connector, name: str, channel: Channel) -> None:
    function = connector.functions.get(name)
    if function is None:
        known = ", ".join(connector.functions) or "none"
        raise ConfigError(f"connector {connector.name} has no function {name}; its functions: {known}")
    context = _read_context(connector, channel)
    if function.kind == "action":
        for message in context.inbox.messages():
            _process(context, function, message)
    else:
        arguments = (context,) if function.kind == "trigger" else (context, context.inbox.messages())
        for result in _results(function.call(*arguments)):
            context.emit(result if isinstance(result, Message) else Message(result))
    context.flush_done()
    context.flush_progress()


def _process(context: Context, function: Function, message: Message) -> None:
    remote_id = None
    try:
        for result in _results(function.call(context, message)):
            reply = result if isinstance(result, Message) else message.reply(result)
            remote_id = reply.metadata.get("remote_id") if isinstance(result, Message) else None
            context.emit(reply)
        context.done(message, None if remote_id is None else str(remote_id))
    except ConfigError as error:
        context.send_error(error.text, error.failure_type, message.id)
        raise Ended(exit_code(error.failure_type)) from None
    except ConnectorError as error:
        context.error(message, error.text, error.failure_type)
    except Exception as error:
        _print_traceback(error)
        context.error(message, _describe(error))


def _check(connector: Connector, channel: Channel) -> None:
    context = _read_context(connector, channel)
    if connector.checker is None:
        context.log("info", f"Connector {connector.name} has no check of its own.")
        return
    answer = connector.checker(context)
    context.log("info", answer if isinstance(answer, str) else "The credentials work.")


def _subscription(connector: Connector, verb: str, name: str, channel: Channel) -> None:
    function = (connector.subscribers if verb == "subscribe" else connector.unsubscribers).get(name)
    if function is None:
        raise ConfigError(f"connector {connector.name} has no function to {verb} for {name}")
    context = _read_context(connector, channel)
    if context.webhook is None:
        raise ConfigError(f"the CONFIG line names no webhook to {verb} for: `context.webhook` with its `url`")
    answer = function(context)
    if verb == "subscribe":
        made = answer if isinstance(answer, Subscription) else Subscription(answer)
        channel.output.send(made.to_event(), now=True)


def _read_context(connector: Connector, channel: Channel) -> Context:
    line = parse_line(channel.read_line(), "CONFIG")
    if not all(isinstance(line.get(key) or {}, dict) for key in ("config", "credentials", "context")):
        raise ConfigError("config, credentials and context of the CONFIG line must be objects")
    return Context(connector.name, line, channel.output, channel.read_line)


def _results(result: Any) -> Iterator[Any]:
    if result is None:
        return
    if not hasattr(result, "__next__"):
        yield result
        return
    with contextlib.closing(result) if hasattr(result, "close") else contextlib.nullcontext():
        yield from (item for item in result if item is not None)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _print_traceback(error: Exception) -> None:
    # The first frames are the SDK's own and say nothing to the author.
    with contextlib.suppress(OSError):
        traceback.print_exception(type(error), error, error.__traceback__)
        sys.stderr.flush()


def _terminate(signum: int, _frame: Any) -> NoReturn:
    signal.signal(signum, signal.SIG_DFL)
    raise Ended(EXIT_TERMINATED)
