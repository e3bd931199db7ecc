"""What a Singer program's log tells: how grave a line is, and whose fault a failure was."""

from __future__ import annotations

import logging
import re
from collections import deque

import orjson

from flowmate_airflow.protocols.events import FailureType, LogEvent

_LEVELS = {
    "TRACE": logging.DEBUG,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "NOTICE": logging.INFO,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "EXCEPTION": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
    "FATAL": logging.CRITICAL,
}
_WORDS = "|".join(_LEVELS)
_HEAD = re.compile(
    r"^(?:\x1b\[[0-9;]*m|[\[(]|\d[\d\-:.,TZ+/]*[\s|\])]+|time=\S+(?: [\d:.,]+)?\s+|name=\S+\s+)*"
    rf"(?:level=)?({_WORDS})\b",
    re.IGNORECASE,
)
_LATER = re.compile(rf"(?:\s\|\s*|\slevel=)({_WORDS})\b")
_TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit|Failure|Fault|Timeout)\b")
_WARNING = re.compile(r"^\S+:\d+: \w*Warning:")

_KEPT = 100
"""Lines of log that a failure is explained by."""
_LONGEST = 2000

_CONFIG = re.compile(
    r"\b40[13]\b[^\n]{0,60}(?:unauthori[sz]ed|forbidden|client error|denied|not allowed)"
    r"|(?:status|code|error|http)\W{0,12}40[13]\b|unauthori[sz]ed|forbidden\b|authentication (?:failed|error)"
    r"|invalid[ _-]?(?:client|grant|token|credentials?|api[ _-]?key|password|login|access)|InvalidCredentials"
    r"|(?:bad|wrong|incorrect) credentials|access denied|permission denied|insufficient (?:scope|privilege|permission)"
    r"|is a required property|(?:field|key|setting|option|parameter)s? (?:is|are) required|invalid config"
    r"|config(?:uration)? validation|ConfigValidationError|missing required|required keys"
    r"|no such option|unrecognized arguments|the following arguments are required|usage: "
    r"|is not valid under any|is not of type|is not one of|Additional properties are not allowed",
    re.IGNORECASE,
)
_TRANSIENT = re.compile(
    r"\b429\b|too many requests|rate.?limit|\b5\d\d\b[^\n]{0,40}(?:server error|internal|gateway|unavailable|timeout)"
    r"|(?:status|code|error|http)\W{0,12}5\d\d\b|timed? ?out|timeout|connection (?:reset|refused|aborted|error|broken)"
    r"|ConnectionError|ConnectionResetError|temporar(?:y|ily)|bad gateway|service unavailable|name resolution"
    r"|remote end closed|max retries exceeded|broken pipe|deadlock|too many connections|server closed the connection"
    r"|could not connect|network is unreachable|IncompleteRead|ChunkedEncoding|RetriableAPIError",
    re.IGNORECASE,
)
_PREFIX = re.compile(rf"^(?:[\d\-T:,. ]+\|[^|]*\|[^|]*\|\s*|.{{,200}}?\blevel=\w+ message=|(?:{_WORDS})\b[:\s]+)")
_SAYS_NOTHING = re.compile(r"config validation failed\W*$|^Traceback \(", re.IGNORECASE)
_MISSING_KEY = re.compile(r"^KeyError: '([^']+)'")


class SingerLog:
    """Reads a program's stderr line by line and remembers its end."""

    def __init__(self) -> None:
        self._last: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._in_traceback = False

    def take(self, line: bytes) -> LogEvent:
        """Return what a line of stderr means."""
        text = line.decode("utf-8", errors="backslashreplace")
        level = self._level(text)
        self._last.append((level, text[:_LONGEST]))
        return LogEvent(level, text)

    def explain(self) -> str:
        """Return the line that says best why the program failed."""
        lines = [text.strip() for _, text in self._last]
        graves = [
            number
            for number, (level, text) in enumerate(self._last)
            if level >= logging.ERROR and text.strip() and text[0] not in " \t|"  # of a traceback only the last line
        ]
        telling = [number for number in graves if not _SAYS_NOTHING.search(lines[number])] or graves
        if not telling:
            return next((text for text in reversed(lines) if text), "")
        text = _PREFIX.sub("", lines[telling[-1]])
        return " ".join([text, *lines[telling[-1] + 1 :][:3]]).strip() if text.endswith(":") else text

    def failure_type(self) -> FailureType:
        """Return who must act, as far as the log tells: the last line that says anything decides."""
        for level, text in reversed(self._last):
            if level < logging.ERROR and not text.lower().startswith(("usage:", "error:")):
                continue
            if _CONFIG.search(text) or self._misses_setting(text):
                return "config"
            if _TRANSIENT.search(text):
                return "transient"
        return "system"

    def _misses_setting(self, text: str) -> bool:
        missing = _MISSING_KEY.match(text)
        if not missing:
            return False
        places = (f'["{missing[1]}"]', f"['{missing[1]}']")
        return any("config" in line.lower() and any(map(line.__contains__, places)) for _, line in self._last)

    def _level(self, text: str) -> int:
        if self._in_traceback:
            self._in_traceback = not text.strip() or text[0] in " \t|+"
            return logging.ERROR
        if text.lstrip(" |+").startswith(_TRACEBACK):
            self._in_traceback = True
            return logging.ERROR
        if text.startswith("{"):
            return _json_level(text)
        head = text[:300]
        found = _HEAD.match(head) or _LATER.search(head)
        if found:
            return _LEVELS[found[1].upper()]
        if _WARNING.match(head):
            return logging.WARNING
        return logging.ERROR if _EXCEPTION.match(head) else logging.INFO


def _json_level(text: str) -> int:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return logging.INFO
    name = next((value[key] for key in ("level", "levelname", "severity", "log_level") if key in value), "")
    return _LEVELS.get(str(name).upper(), logging.INFO)
