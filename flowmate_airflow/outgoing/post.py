"""One notice, sent once: signed, to a checked address, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import requests

from flowmate_airflow import __version__
from flowmate_airflow.net.deadline import Deadline
from flowmate_airflow.net.public import NotPublic, PublicAdapter
from flowmate_airflow.outgoing.retries import retry_after
from flowmate_airflow.outgoing.targets import BOTH, HUB, STANDARD, Target
from flowmate_airflow.store.sql import now
from flowmate_airflow.webhooks.schemes import SCHEMES, sign

TIMEOUT = 20.0
"""Seconds from the connection to the whole head of the answer, whose body does not matter."""
GONE = 410
_BUSY = (429, 502, 503, 504)
"""Answers that ask for a pause."""
_SCHEMES = {STANDARD: ("standard",), HUB: ("hotglue",), BOTH: ("standard", "hotglue")}
"""The schemes of signatures by what a target has chosen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request.

    :param status: of the answer, if there was one
    :param error: why the target has not taken it, in one line without its address, which may hold a secret
    :param is_final: whether trying again makes no sense
    :param is_down: whether others to the same target would probably fail, too
    :param pause: how long the target wants to be left alone
    """

    status: int | None
    error: str | None = None
    is_final: bool = False
    is_down: bool = False
    pause: timedelta | None = None


def post(target: Target, message_id: str, body: bytes) -> Outcome:
    """Send a notice once.

    :param message_id: the same at each try
    """
    with Deadline(TIMEOUT) as deadline, requests.Session() as session:
        adapter = PublicAdapter(allow_private=target.allow_private, opened=deadline.watch)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        try:
            with session.post(
                target.url,
                data=body,
                headers=headers(target, message_id, now(), body),
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
                auth=_as_it_is,
            ) as answer:
                # A head that was cut in the middle looks like a whole one.
                return _late() if deadline.is_over else _outcome(answer.status_code, answer.headers)
        except NotPublic:
            return Outcome(None, "its address is not on the public internet; `allow_private` in the extra allows that")
        except Exception as error:  # requests lets through some of the errors of what it is made of
            return _late() if deadline.is_over else _failure(error)


def headers(target: Target, message_id: str, moment: datetime, body: bytes) -> dict[str, str]:
    """Return the request's headers, with its signatures.

    `webhook-…` is Standard Webhooks 1.0; `X-Hub-Signature` is hotglue's: the HMAC-SHA1 of the body in hex, with the
    whole password as its key.
    """
    found = {
        "Content-Type": "application/json",
        "User-Agent": f"FlowMate/{__version__}",
        "Connection": "close",
        "webhook-id": message_id,
    }
    for scheme in _SCHEMES[target.signature]:
        found |= sign(SCHEMES[scheme], body, target.secret, moment.timestamp(), delivery_id=message_id)
    return found


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate by nothing more: without this, requests would look for a password in the user's .netrc."""
    return request


def _outcome(status: int, answered: Mapping[str, str]) -> Outcome:
    if 200 <= status < 300:
        return Outcome(status)
    if status == GONE:
        return Outcome(
            status, f"answered {_phrase(status)}: it wants no more notices; take it out of [flowmate] outgoing", True
        )
    if 300 <= status < 400:
        return Outcome(status, f"answered {_phrase(status)}; redirects are not followed, so put the new address in")
    pause = retry_after(answered.get("Retry-After"), now()) if status in _BUSY else None
    return Outcome(status, f"answered {_phrase(status)}", is_down=status >= 500 or status == 429, pause=pause)


def _failure(error: Exception) -> Outcome:
    # The texts of requests hold the address.
    if isinstance(error, requests.exceptions.SSLError):
        return Outcome(None, "no trusted TLS connection; is its certificate valid?", is_down=True)
    if isinstance(error, requests.exceptions.Timeout):
        return _late()
    if isinstance(error, requests.exceptions.ConnectionError):
        return Outcome(None, "the connection failed", is_down=True)
    return Outcome(None, f"no request can be made ({type(error).__name__})")


def _late() -> Outcome:
    return Outcome(None, f"did not answer within {TIMEOUT:.0f} s", is_down=True)


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
