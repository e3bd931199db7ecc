"""What a server answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from flowmate_connector import MessageError

from .identity import shown


@dataclass(frozen=True)
class Answer:
    """A response that has been read whole.

    :param url: where it came from, after redirects
    :param next_link: the address of the Link header with rel=next
    """

    status: int
    url: str
    body: bytes
    encoding: str
    next_link: str | None

    def json(self) -> Any:
        """Return the body as JSON; None for an empty one.

        :raises MessageError: the body is not JSON
        """
        if not self.body.strip():
            return None
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise MessageError(f"{shown(self.url)} answered what is not JSON: {error}", "config") from None

    def content(self) -> Any:
        """Return the body as JSON, or `{status, body}` with its text when it is not JSON."""
        if not self.body.strip():
            return {"status": self.status, "body": None}
        try:
            return self.json()
        except MessageError:
            return {"status": self.status, "body": self.text()}

    def text(self) -> str:
        """Return the body as text."""
        try:
            return self.body.decode(self.encoding, errors="replace")
        except LookupError:
            return self.body.decode("utf-8", errors="replace")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
