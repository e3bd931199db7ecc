"""The outermost shape of a JSONata expression: just enough to see that it is `{"data": …, "metadata": …}`.

No parser: whatever is not plain at a glance (a regular expression, a key that is computed) is not taken apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|/\*.*?\*/)
    | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<name>`[^`]*`|\$?\$?[^\W\d]\w*|\$\$?)
    | (?P<number>\d[\w.]*)
    | (?P<open>[\[({])
    | (?P<close>[\])}])
    | (?P<comma>,)
    | (?P<colon>:(?!=))
    | (?P<slash>/)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_OPERANDS = ("text", "name", "number", "close")
_OPERATOR_WORDS = ("and", "or", "in")


class NotPlain(Exception):
    """The expression is not of the shape that can be taken apart."""


def object_entries(source: str) -> dict[str, str] | None:
    """Return the entries of an expression that is one object constructor with literal keys, or None.

    :param source: valid JSONata
    """
    try:
        return _entries(source) or None
    except NotPlain:
        return None


def is_object(source: str) -> bool:
    """Whether an expression is one object constructor, so that its result is an object."""
    try:
        return _inside(source) is not None
    except NotPlain:
        return False


_Token: TypeAlias = tuple[str, str]
"""Kind and text."""


def _entries(source: str) -> dict[str, str] | None:
    inside = _inside(source)
    entries: dict[str, str] = {}
    for piece in _pieces(inside or []):
        solid = [number for number, token in enumerate(piece) if token[0] != "space"]
        if len(solid) < 3 or [piece[number][0] for number in solid[:2]] != ["text", "colon"]:
            return None
        name = _literal(piece[solid[0]][1])
        if name in entries:
            return None
        entries[name] = "".join(text for _, text in piece[solid[1] + 1 :]).strip()
    return entries


def _inside(source: str) -> list[_Token] | None:
    """Return what stands between the braces when the whole expression is one pair of braces, else None."""
    tokens = list(_tokens(source))
    solid = [number for number, token in enumerate(tokens) if token[0] != "space"]
    if not solid or tokens[solid[0]][1] != "{" or _closes_at(tokens, solid[0]) != solid[-1]:
        return None
    return tokens[solid[0] + 1 : solid[-1]]


def _tokens(source: str) -> Iterator[_Token]:
    before: _Token = ("", "")
    for match in _TOKEN.finditer(source):
        token = (str(match.lastgroup), match[0])
        divides = before[0] in _OPERANDS and before[1] not in _OPERATOR_WORDS
        if token[0] == "slash" and not divides:
            raise NotPlain  # a regular expression begins here
        if token[0] == "other" and token[1] in "\"'`":
            raise NotPlain
        yield token
        if token[0] != "space":
            before = token


def _closes_at(tokens: list[_Token], start: int) -> int | None:
    """Return where the bracket closes that opens at `start`, or None."""
    expected: list[str] = []
    for number in range(start, len(tokens)):
        kind, text = tokens[number]
        if kind == "open":
            expected.append(_PAIRS[text])
        elif kind == "close":
            if expected.pop() != text:
                return None
            if not expected:
                return number
    return None


def _pieces(tokens: list[_Token]) -> Iterator[list[_Token]]:
    """Yield the tokens between the commas that stand in no brackets."""
    depth = 0
    piece: list[_Token] = []
    for kind, text in tokens:
        depth += (kind == "open") - (kind == "close")
        if depth == 0 and kind == "comma":
            yield piece
            piece = []
        else:
            piece.append((kind, text))
    if any(kind != "space" for kind, _ in piece):
        yield piece


def _literal(text: str) -> str:
    if text[0] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            raise NotPlain from None
    if "\\" in text:
        raise NotPlain
    return text[1:-1]
