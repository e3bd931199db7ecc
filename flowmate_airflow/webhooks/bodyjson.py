"""JSON that a sender wrote: checked, and kept as it was written."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import orjson

MAX_DEPTH = 64
"""How deep JSON may be nested. Databases and parsers further on have limits of 100 and more."""
_BOM = b"\xef\xbb\xbf"


class BodyError(Exception):
    """A body that cannot be taken; the text says what is wrong with it, and repeats nothing of it.

    :param status: of the answer
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Body:
    """What a body means.

    :param data: the value
    :param text: the value as JSON
    :param files: the fields of a form that are files; nothing else that looks like one is
    """

    data: Any
    text: bytes
    files: tuple[str, ...] = ()


def parse_json(body: bytes) -> Body:
    """Return a JSON body. Its text stays the sender's own: numbers keep all their digits.

    :raises BodyError: it is not JSON in UTF-8, has numbers that JSON does not know, or is nested too deep
    """
    text = body[len(_BOM) :] if body.startswith(_BOM) else body
    try:
        data = orjson.loads(text)
    except ValueError:
        text = _without_halves(text)
        data = orjson.loads(text)
    # Few brackets cannot be deep, and counting them is quick.
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH and not is_shallow(data):
        raise BodyError(f"the JSON is nested deeper than {MAX_DEPTH}")
    return Body(data, text)


def as_body(data: Any, files: tuple[str, ...] = ()) -> Body:
    """Return a value that this program has made of a body."""
    return Body(data, orjson.dumps(data), files)


def is_shallow(value: Any) -> bool:
    """Whether a value is nested at most :data:`MAX_DEPTH` deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent if isinstance(parent, list) else ())
            if isinstance(child, dict | list)
        ]
        if not level:
            return True
    return False


def _without_halves(text: bytes) -> bytes:
    """Return JSON that has escapes of halves of characters in it, such as a cut emoji, with a question mark for each.

    The grammar allows them, and senders that count in UTF-16 send them; nothing further on could store them.
    """
    wrong = BodyError("the body is not JSON")
    if b"\\ud" not in text.lower():
        raise wrong
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if not is_shallow(value):
            raise BodyError(f"the JSON is nested deeper than {MAX_DEPTH}")
        whole = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        orjson.loads(whole)
    except (ValueError, RecursionError):
        raise wrong from None
    return whole


def _refuse(name: str) -> float:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
