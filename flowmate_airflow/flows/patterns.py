"""Regular expressions that a flow brings along, in the schemas of its params: Python's `re` has no time limit."""

from __future__ import annotations

import re

MAX_PATTERN = 1000
_TOKEN = re.compile(
    r"""
      (?P<escape>\\.)
    | (?P<set>\[\^?\]?(?:\\.|[^\]\\])*\])
    | (?P<open>\((?:\?(?:[:=!>]|<[=!]|P?<\w+>|[aiLmsux-]*:?))?)
    | (?P<close>\))
    | (?P<repeat>[*+]|\{[0-9]*,?[0-9]*\})
    | (?P<either>\|)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def slow_pattern(pattern: str) -> bool:
    """Whether a pattern could take exponentially long: a repeat around another repeat or around alternatives.

    It errs on the safe side: some harmless patterns are among those.
    """
    if len(pattern) > MAX_PATTERN:
        return True
    groups = [False]
    """For each open group, whether it holds a repeat or alternatives."""
    after_group = False
    for token in _TOKEN.finditer(pattern):
        kind = token.lastgroup
        if kind == "repeat" and _repeats(token[0]):
            if after_group:
                return True
            groups[-1] = True
        elif kind == "either":
            groups[-1] = True
        elif kind == "open":
            groups.append(False)
        after_group = False
        if kind == "close" and len(groups) > 1:
            after_group = groups.pop()
            groups[-1] = groups[-1] or after_group
    return False


def _repeats(text: str) -> bool:
    """Whether a quantifier repeats more than a few times."""
    if text in "*+":
        return True
    _, comma, most = text.strip("{}").partition(",")
    return (comma == "," and not most) or int(most or _ or 0) > 10
