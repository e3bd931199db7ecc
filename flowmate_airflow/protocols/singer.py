"""Protocol `singer`: what taps and targets have in common.

Both take a file `config.json` and may write it back with rotated tokens, log on stderr, and know only one exit code
for all that goes wrong. A tap is :mod:`~flowmate_airflow.protocols.singer_tap`, a target
:mod:`~flowmate_airflow.protocols.singer_target`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.base import FILES, Conversation, Launch, Request
from flowmate_airflow.protocols.config import changed_values, merged_config
from flowmate_airflow.protocols.events import (
    CheckEvent,
    CredentialsEvent,
    DescribeEvent,
    Event,
    FailureType,
    LogEvent,
    ProtocolError,
    RequestError,
)
from flowmate_airflow.protocols.singer_json import Answer
from flowmate_airflow.protocols.singer_log import SingerLog

CONFIG = "config.json"
CATALOG = "catalog.json"
STATE = "state.json"

_USAGE = 2
"""Exit code of Python's option parsers for options they do not know or miss."""


class SingerConversation(Conversation):
    """Talks to a tap or target.

    :param image: which options it knows
    """

    def __init__(self, request: Request, image: SingerImage) -> None:
        self._request = request
        self._image = image
        self._log = SingerLog()
        self._answer = Answer()

    def config(self) -> dict[str, Any]:
        """Return what the program gets as its configuration."""
        return merged_config(self._request)

    def take_log(self, line: bytes) -> LogEvent:
        """See :meth:`Conversation.take_log`."""
        return self._log.take(line)

    def failure_type(self, code: int) -> FailureType:
        """See :meth:`Conversation.failure_type`: Singer has one exit code, so the log decides."""
        if code == _USAGE:
            return "config"
        return self._log.failure_type() if code == 1 else "system"

    def explain(self) -> str:
        """See :meth:`Conversation.explain`: libraries often end an error's text with a link to their pages."""
        return self._log.explain()

    def _start(self, *options: str, files: Mapping[str, bytes] | None = None) -> Launch:
        return Launch(
            arguments=("--config", place(CONFIG), *options),
            files={CONFIG: self._dumps(self.config(), CONFIG), **(files or {})},
            read_back=(CONFIG,),
        )

    def _about(self) -> Launch:
        return Launch(arguments=("--about", "--format=json") if self._image.about else ("--help",))

    def _keep(self, line: bytes) -> tuple[Event, ...]:
        try:
            self._answer.add(line)
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        return ()

    def _described(self, code: int) -> Iterable[Event]:
        if code != 0:
            return
        if not self._image.about:
            yield DescribeEvent({"help": self._answer.text()})
            return
        about = self._answer.find(lambda value: "settings" in value or "capabilities" in value or "name" in value)
        if about is None:
            raise ProtocolError(
                "it printed no description: asked with `--about --format=json` it must write a JSON object; "
                "if it does not know that option, set `singer: {about: false}` in the connector's manifest"
            )
        yield DescribeEvent(about)

    def _checked(self, code: int, good: str = "") -> Iterable[Event]:
        """Say whether the configuration works. What a retry may heal says nothing about it."""
        if code == 0:
            yield CheckEvent(ok=True, text=good)
        elif self.failure_type(code) != "transient":
            yield CheckEvent(ok=False, text=self._log.explain() or f"it ended with exit code {code} and said nothing")

    def _changed_config(self, files: Mapping[str, bytes]) -> Iterable[Event]:
        written = files.get(CONFIG)
        before = self._dumps(self.config(), CONFIG)
        if written is None or written == before:
            return
        try:
            after = orjson.loads(written)
        except orjson.JSONDecodeError:
            after = None
        if not isinstance(after, dict):
            yield LogEvent(
                logging.WARNING,
                f"it wrote its {CONFIG} anew, but not as a JSON object; should it have got a new token, that is lost",
            )
            return
        changed = changed_values(orjson.loads(before), after)
        if changed:
            yield CredentialsEvent(changed)

    def _dumps(self, value: Any, name: str) -> bytes:
        try:
            return orjson.dumps(value)
        except (TypeError, orjson.JSONEncodeError) as error:
            raise RequestError(f"its {name} cannot be written as JSON: {error}") from None


def place(name: str) -> str:
    """Return where a file of the start lies in the container."""
    return f"{FILES}/{name}"
