"""What a function knows about its run, and how it talks to the host."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from flowmate_connector.channel import Output
from flowmate_connector.errors import ConfigError, Ended, NotJson, exit_code
from flowmate_connector.inbox import Inbox
from flowmate_connector.message import Message
from flowmate_connector.webhook import Webhook

PROGRESS_SECONDS = 0.2
RESULTS = 200
"""Messages that are told together to be done."""


class Context:
    """One run of one function.

    :ivar config: the step's `with`
    :ivar credentials: what the manifest declares for the method, and `auth`, the method's name;
        empty without a connection. With a token that is over at some time also `expires_at`, in seconds since 1970,
        where that is known; see :meth:`renew`
    :ivar state: what :meth:`save_state` stored in the last successful run, or None
    :ivar context: facts about the run: flow, step, function, run_id, try_number, on_error
    :ivar webhook: what to register or to take back; None but for functions that subscribe and unsubscribe
    :ivar logger: a logger whose records reach the task log at their level
    """

    def __init__(self, name: str, line: Mapping[str, Any], output: Output, read: Callable[[], bytes]) -> None:
        self.config: dict[str, Any] = line.get("config") or {}
        self.credentials: dict[str, Any] = line.get("credentials") or {}
        self.state: Any = line.get("state")
        self.context: dict[str, Any] = line.get("context") or {}
        self.inbox = Inbox(read, renews=self.renews)
        self._renewing = threading.Lock()
        self.webhook = Webhook.from_context(self.context.get("webhook"))
        self.logger = logging.getLogger(name)
        self._output = output
        self._progress: dict[str, Any] | None = None
        self._progress_at = 0.0
        self._done: list[str] = []
        self._failed: str | None = None
        _route_logging(self.logger, output)

    def __repr__(self) -> str:
        # The default would be harmless too, but a context must never show its credentials in a traceback.
        return f"<Context of {self.context.get('function', 'a function')}>"

    @property
    def on_error(self) -> str:
        """What the step does with a message that fails: `fail`, `skip` or `dead_letter`."""
        return str(self.context.get("on_error") or "fail")

    @property
    def renews(self) -> bool:
        """Whether :meth:`renew` has something to give: the token comes from a login and is over at some time."""
        return self.context.get("renews") is True

    def renew(self, rejected: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return new credentials, which are `ctx.credentials` from then on: the token is over while the run is not.

        Use it when the other system says so (a 401), and repeat the request once. Threads may call it at once: those
        whose credentials another one has renewed meanwhile get the new ones, and the host is asked only once. It
        answers at most once a second.

        :param rejected: the credentials that were refused, as they were when the request was made; None: they are
            only near their end
        :raises ConfigError: there are no others
        :raises TransientError: the host has ended the run
        """
        if not self.renews:
            raise ConfigError("the credentials of the connection are refused, and there are no newer ones")
        with self._renewing:
            if rejected is None or rejected == self.credentials:
                event: dict[str, Any] = {"type": "CREDENTIALS"}
                if rejected is not None:
                    event["rejected"] = True
                self._output.send(event, now=True)
                self.credentials = self.inbox.credentials()
            return self.credentials

    def log(self, level: str, text: str) -> None:
        """Put a line into the task log.

        :param level: debug, info, warning or error
        """
        self._output.send({"type": "LOG", "level": level, "message": text}, now=True)

    def progress(self, done: int, total: int | None = None, text: str | None = None) -> None:
        """Say how far the run is. Cheap enough to be called for each record: the host gets a few a second.

        :param done: how much is done, in the connector's own unit
        :param total: how much there is, where it is known
        :param text: what is going on
        """
        event: dict[str, Any] = {"type": "PROGRESS", "done": int(done)}
        if total is not None:
            event["total"] = total
        if text is not None:
            event["text"] = text
        self._progress = event
        if time.monotonic() - self._progress_at >= PROGRESS_SECONDS:
            self.flush_progress()

    def flush_progress(self) -> None:
        """Send the last progress that was held back."""
        if self._progress is not None:
            self._output.send(self._progress, now=True)
            self._progress, self._progress_at = None, time.monotonic()

    def save_state(self, value: Any) -> None:
        """Store what the function wants to know at its next start. The last value of a successful run counts.

        :raises NotJson: the value cannot be written as JSON
        """
        self._output.send({"type": "STATE", "state": value}, now=True)
        self.state = value

    def error(self, message: Message | str | None, text: str, failure_type: str = "system") -> None:
        """Report that one message failed. Where the step's `on_error` is `fail`, the run ends here.

        :param message: the message or its id
        :param failure_type: `config`, `transient` or `system`
        :raises ValueError: the failure type is none of the three
        """
        code = exit_code(failure_type)
        self.send_error(text, failure_type, message.id if isinstance(message, Message) else message)
        if self.on_error == "fail":
            raise Ended(code)

    def send_error(self, text: str, failure_type: str, message_id: str | None = None) -> None:
        """Send the event of a failure, of one message or (without an id) of the whole run."""
        self.flush_done()
        event: dict[str, Any] = {"type": "ERROR", "message": text, "failure_type": failure_type}
        if message_id is not None:
            event["id"] = self._failed = message_id
        self._output.send(event)

    def done(self, message: Message, remote_id: str | None = None) -> None:
        """Report that a message has done its work, so that a retry does not send it again.

        :param remote_id: the id that the other system gave
        """
        if message.id is None or message.id == self._failed:
            return
        if remote_id is not None:
            self.flush_done()
            self._output.send({"type": "RESULT", "id": message.id, "remote_id": remote_id})
            return
        self._done.append(message.id)
        if len(self._done) >= RESULTS:
            self.flush_done()

    def flush_done(self) -> None:
        """Send which messages are done."""
        if self._done:
            self._output.send({"type": "RESULT", "ids": self._done})
            self._done = []

    def emit(self, message: Message) -> None:
        """Send a message to the next step.

        :raises NotJson: a part of it cannot be written as JSON
        """
        try:
            self._output.send({"type": "MESSAGE", "message": message.to_json()})
        except NotJson as error:
            raise NotJson(f"the message to emit is {error.text}") from None


class _LogHandler(logging.Handler):
    """Logging records become LOG events."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower() if record.levelno in _KNOWN_LEVELS else "info"
        self._output.send({"type": "LOG", "level": level, "message": self.format(record)}, now=True)


_KNOWN_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


def _route_logging(logger: logging.Logger, output: Output) -> None:
    # Libraries keep Python's default level: their debug lines may hold URLs with keys in them.
    root = logging.getLogger()
    root.handlers = [_LogHandler(output)]
    logger.setLevel(logging.DEBUG)
