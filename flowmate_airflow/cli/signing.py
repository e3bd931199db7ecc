"""A delivery as its provider would make it: with what the scheme reads from the body, and the headers that prove it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.flows.errors import shown
from flowmate_airflow.webhooks.proofs import Headers, Token
from flowmate_airflow.webhooks.schemes import Scheme, sign
from flowmate_airflow.webhooks.sources import Source

JSON = "application/json"
MAX_TEXT = 255


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be sent.

    :param body: as the user gave it
    :param event: its name, where one was given
    :param delivery_id: its id, where one was given
    """

    body: bytes = field(repr=False)
    content_type: str = JSON
    event: str | None = None
    delivery_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is sent. The headers prove it."""

    body: bytes = field(repr=False)
    headers: Headers = field(repr=False)


def signed(draft: Draft, scheme: Scheme, secrets: Sequence[str], url: str, now: float) -> Delivery:
    """Return a draft as a provider would send it.

    :param secrets: the first one counts that the scheme can sign with
    :param url: the endpoint's address as the provider knows it; some sign it
    :raises UsageError: an option does not fit the scheme
    :raises CommandError: nobody but the provider can sign it, or there is no secret
    """
    for flag, text in (("--event", draft.event), ("--id", draft.delivery_id)):
        if text is not None and not (text.isascii() and text.isprintable() and 0 < len(text) <= MAX_TEXT):
            raise UsageError(f"{flag} cannot be {shown(text)}: up to {MAX_TEXT} printable ASCII characters are sent")
    if draft.content_type.isascii() and draft.content_type.isprintable() and draft.content_type:
        head = (("content-type", draft.content_type),)
    else:
        raise UsageError(f"--content-type cannot be {shown(draft.content_type)}")
    body = _completed(draft, scheme, now)
    method = scheme.methods[0]
    problem: ValueError | None = None
    for secret in _in_order(scheme, secrets) or [""]:
        try:
            proof = sign(
                scheme,
                body,
                secret,
                now,
                method=method,
                url=url,
                headers=head,
                delivery_id=draft.delivery_id,
                event=draft.event,
            )
        except ValueError as error:
            problem = problem or error
        else:
            return Delivery(body, (*head, *proof))
    raise CommandError(f"a delivery of {scheme.title} (scheme {scheme.name}) cannot be made here: {problem}")


def _in_order(scheme: Scheme, secrets: Sequence[str]) -> list[str]:
    """Return secrets, those first that HTTP's basic authentication can use where it is this that the scheme wants."""
    is_basic = isinstance(scheme.proof, Token) and scheme.proof.is_base64
    return sorted(secrets, key=lambda secret: is_basic and ":" not in secret)


def _completed(draft: Draft, scheme: Scheme, now: float) -> bytes:
    """Return the body with event, id and time in it, where the scheme reads them from there."""
    is_json = draft.content_type.partition(";")[0].strip().lower() in (JSON, "") or "+json" in draft.content_type
    try:
        value = json.loads(draft.body) if is_json else None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--data is not JSON: {error}; --content-type says when it is something else") from None
    before = json.dumps(value)
    for flag, text, sources in (
        ("--event", draft.event, scheme.event),
        ("--id", draft.delivery_id, scheme.delivery_id),
    ):
        if text is not None and not _stands_in_header(sources):
            _put(value, _path(sources, flag, scheme), text, flag, scheme)
    stamp = scheme.proof.stamp
    if stamp is not None and stamp.path and isinstance(value, dict) and stamp.path not in value:
        value[stamp.path] = int(stamp.written(now)) if stamp.unit != "iso" else stamp.written(now)
    # What the user wrote is sent as it was written, byte by byte, unless something had to be added.
    return draft.body if json.dumps(value) == before else json.dumps(value).encode()


def _stands_in_header(sources: Sequence[Source]) -> bool:
    return bool(sources) and len(sources[0].parts) == 1 and sources[0].parts[0].startswith("header:")


def _path(sources: Sequence[Source], flag: str, scheme: Scheme) -> str:
    if not sources:
        option = f"{flag.removeprefix('--')}_path"
        raise UsageError(
            f"{flag}: the scheme {scheme.name} has none, unless its option `{option}` says where it stands"
        )
    parts = sources[0].parts
    path = parts[0].removeprefix("body:")
    if (
        len(parts) > 1
        or not parts[0].startswith("body:")
        or any(key == "*" or key.isdecimal() for key in path.split("."))
    ):
        raise UsageError(f"{flag}: deliveries of {scheme.title} have it in {sources[0]}; put it into --data")
    return path


def _put(value: Any, path: str, text: str, flag: str, scheme: Scheme) -> None:
    keys = path.split(".")
    for key in keys[:-1]:
        value = value.setdefault(key, {}) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        raise UsageError(f"{flag}: deliveries of {scheme.title} have it in `{path}`, so --data must be a JSON object")
    value[keys[-1]] = text
