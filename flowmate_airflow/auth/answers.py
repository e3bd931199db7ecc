"""Reading what a provider answers: JSON or a form, its errors, and what lies at a path in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

import orjson

from flowmate_airflow.auth.credentials import texts_in
from flowmate_airflow.auth.errors import Kind, LoginError
from flowmate_airflow.auth.http import Answer
from flowmate_airflow.outgoing.retries import retry_after
from flowmate_airflow.steps.steplog import clean

MAX_SAID = 300
"""Characters of what a provider says in an error."""
MAX_METADATA = 2000
"""Characters of what an answer tells about an account; columns of a Connection take 500."""
MAX_COLUMN = 500
_MAX_FIELDS = 1000
_TRANSIENT = frozenset({"temporarily_unavailable", "server_error", "slow_down", "rate_limit_exceeded", "ratelimited"})
_CONFIG = frozenset(
    {
        "invalid_client",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
        "invalid_target",
    }
)
_LOST = frozenset({"invalid_grant", "bad_refresh_token", "invalid_refresh_token", "interaction_required"})
"""What a refresh token that is worth nothing is answered with: by RFC 6749, and by some providers."""
_WORDS = ("error_description", "error_message", "message", "detail", "msg", "title", "oauth_problem")


def read(answer: Answer, secrets: Iterable[str | None] = (), *, lost: Kind = "refused") -> Any:
    """Return what a good answer holds: JSON, or a form as a mapping.

    :param secrets: that were sent, and that no error may show
    :param lost: the kind of the error when what was sent (a code, a refresh token) is worth nothing
    :raises LoginError: it is an error, or nothing that can be read
    """
    if is_busy(answer):
        text = _with(f"{answer.host} answered {answer.phrase}", said(parsed(answer.content), secrets))
        raise LoginError(text, "transient", pause(answer))
    value = parsed(answer.content)
    if value is None:
        raise _unreadable(answer)
    error = value.get("error") if isinstance(value, dict) else None
    if answer.status < 400 and not error:
        return value
    raise LoginError(
        _with(f"{answer.host} answered {answer.phrase}", said(value, secrets)), _kind(answer.status, error, lost)
    )


def is_busy(answer: Answer) -> bool:
    """Whether the other system means: later."""
    return answer.status in (408, 425, 429) or answer.status >= 500


def pause(answer: Answer) -> float | None:
    """Return how many seconds an answer asks to be left alone for."""
    asked = retry_after(answer.headers.get("Retry-After"), datetime.now(timezone.utc))
    return None if asked is None else asked.total_seconds()


def parsed(content: bytes) -> Any:
    """Return the JSON or the form that an answer is; None when it is neither."""
    text = content.strip()
    if not text or text.startswith(b"<"):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return dict(parse_qsl(text.decode(), strict_parsing=True, max_num_fields=_MAX_FIELDS)) or None
    except ValueError:
        return None


def said(value: Any, secrets: Iterable[str | None] = ()) -> str:
    """Return what an answer says about an error, in one short line without the secrets; nothing if it says none."""
    if not isinstance(value, dict):
        return ""
    error = value.get("error")
    if isinstance(error, dict):
        value, error = error, error.get("type") or error.get("code")
    elif error is None and isinstance(at(value, "errors.0"), dict):
        value = at(value, "errors.0")
    words = [next((value[word] for word in _WORDS if isinstance(value.get(word), str) and value[word]), None)]
    if isinstance(error, (str, int)) and not isinstance(error, bool):
        words.insert(0, str(error))
    return without(": ".join(word for word in words if word), secrets)


def without(text: str, secrets: Iterable[str | None]) -> str:
    """Return a text in one short line, with `***` for the secrets."""
    sent = {f"{number}": secret for number, secret in enumerate(secrets) if secret}
    for form in sorted(texts_in(sent), key=len, reverse=True):
        text = text.replace(form, "***")
    return clean(text, MAX_SAID)


def at(value: Any, path: str) -> Any:
    """Return what lies at a dotted path in JSON, where numbers count the items of lists; None when nothing does."""
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isascii() and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def metadata(value: Any, wanted: Mapping[str, str], host: str) -> dict[str, str]:
    """Return what an answer tells, by the part of the Connection that keeps it.

    :param wanted: the part by the path
    :raises LoginError: it is longer than the part can be
    """
    found = {}
    for path, part in wanted.items():
        text = _text(at(value, path))
        if text is None:
            continue
        limit = MAX_METADATA if part.startswith("extra.") else MAX_COLUMN
        if len(text) > limit or re.search(r"[\x00-\x1f\x7f]", text):
            raise LoginError(f"`{path}` of what {host} told is no text of up to {limit} characters")
        found[part] = text
    return found


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else None


def _kind(status: int, error: Any, lost: Kind) -> Kind:
    word = error if isinstance(error, str) else ""
    if word in _LOST:
        return lost
    if word in _TRANSIENT:
        return "transient"
    if word in _CONFIG or status in (404, 405, 410, 415):
        return "config"
    return "refused"


def _with(text: str, more: str) -> str:
    return f"{text}: {more}" if more else text


def _unreadable(answer: Answer) -> LoginError:
    head = answer.content[:200].lstrip().lower()
    if not head:
        what = "nothing"
    elif head.startswith(b"<"):
        what = "HTML, not JSON" if b"html" in head else "XML, not JSON"
    else:
        what = "what is neither JSON nor a form"
    status = "" if answer.status < 400 else f" {answer.phrase}"
    # A page in between, of a proxy or of maintenance, is gone after a while; a wrong address stays wrong.
    kind: Kind = "config" if answer.status in (404, 405, 410) else "transient"
    if 400 <= answer.status < 500 and kind == "transient" and not head.startswith(b"<"):
        kind = "refused"
    return LoginError(f"{answer.host} answered{status} with {what}", kind)
