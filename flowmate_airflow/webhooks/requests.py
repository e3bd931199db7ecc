"""What a sender sent, what its proof says of it, and what is answered before a flow sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl

MAX_HEADER = 8 * 1024
"""Characters of a header that is looked into."""
MAX_QUERY = 16 * 1024
"""Characters of a query string that is looked into."""
MAX_PARAMETERS = 200
"""Parameters of a query or a form that is looked into."""
MAX_TEXT = 255
"""Characters of a delivery's id and of its event."""

NOSNIFF = ("x-content-type-options", "nosniff")
"""Goes with every reply that repeats what the sender sent: no browser may take it for a page."""


class Rejected(Exception):
    """A request that is not let in.

    :param reason: a short text for our log. It is never told to the sender: each gets the same answer
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A request as it came.

    :param method: in upper case
    :param url: as the sender was given it, with the raw query; made of our public URL, never of the header Host
    :param headers: names in lower case and texts, in order, what stands there twice is kept twice
    :param body: the raw bytes
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return a header; None when it is not there.

        :param name: in lower case
        :raises Rejected: it is there twice, too long to be looked into, or not ASCII
        """
        found = [text for key, text in self.headers if key == name]
        if not found:
            return None
        if len(found) > 1:
            raise Rejected(f"the header {name} is there {len(found)} times")
        if len(found[0]) > MAX_HEADER:
            raise Rejected(f"the header {name} is longer than {MAX_HEADER} characters")
        if not found[0].isascii():
            raise Rejected(f"the header {name} is not ASCII")
        return found[0]

    def query(self) -> Mapping[str, str]:
        """Return the first value of each parameter of the query, decoded.

        :raises Rejected: it is too long, has too many parameters or is not UTF-8
        """
        text = self.url.partition("#")[0].partition("?")[2]
        if len(text) > MAX_QUERY:
            raise Rejected(f"the query is longer than {MAX_QUERY} characters")
        return first_values(parameters(text, "query"))


def parameters(text: str, what: str) -> list[tuple[str, str]]:
    """Return the parameters of a query or a form, decoded, in order.

    :param what: how it is called in the reason
    :raises Rejected: there are too many, or they are not UTF-8
    """
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        reason = f"the {what} has more than {MAX_PARAMETERS} parameters or is not UTF-8"
        raise Rejected(reason) from None


def first_values(pairs: list[tuple[str, str]]) -> Mapping[str, str]:
    """Return pairs as a mapping, of each name the first."""
    return dict(reversed(pairs))


@dataclass(frozen=True, slots=True)
class Verified:
    """What is known of a delivery whose proof is right.

    :param delivery_id: how its sender names it, the same at each try; None: the body's digest stands for it
    :param event: what happened, in the sender's words
    :param sent_at: when it was signed, where that is part of the proof
    """

    delivery_id: str | None = None
    event: str | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that no flow has a part in.

    :param learned: a secret that a handshake brought; it is kept for the user to see, and proves nothing by itself
    :param confirm_url: what is to be called to confirm a subscription; it was checked to be Amazon's
    """

    status: int
    body: bytes = b""
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    learned: str | None = field(default=None, repr=False)
    confirm_url: str | None = field(default=None, repr=False)


def echo(text: str) -> Reply:
    """Return the reply that repeats a text of the sender's, as plain text."""
    return Reply(200, text.encode("utf-8", "replace"), "text/plain; charset=utf-8", (NOSNIFF,))


def bounded_id(text: str) -> str:
    """Return an id in a form that any database keeps: one that is too long or not printable becomes its digest."""
    if text.isprintable() and len(text) <= MAX_TEXT:
        return text
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def bounded_text(text: str) -> str:
    """Return a text that is only told, cut to what is kept, without what cannot be shown."""
    return "".join(character for character in text[:MAX_TEXT] if character.isprintable())
