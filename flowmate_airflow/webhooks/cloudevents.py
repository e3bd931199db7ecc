"""CloudEvents 1.0: those that senders post, in each of the three modes, and those that we make of everything else.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from flowmate_airflow.webhooks.bodies import JSON, Body, BodyError, media_type
from flowmate_airflow.webhooks.bodyjson import parse_json

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
MAX_BATCH = 1000
"""Events that one request may bring."""
_OTHERS = "application/cloudevents"
_VERSION = "1.0"
_REQUIRED = ("id", "source", "specversion", "type")
_PREFIX = "ce-"
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,60}")
_MAX_ATTRIBUTES = 100
_MAX_TEXT = 4096
_DATA = frozenset({"data", "data_base64"})
_ESCAPED = re.compile(r"\\(.)")
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")

Event = dict[str, Any]


def is_structured(content_type: str | None) -> bool:
    """Whether a body is one event or a batch of them, by its content type.

    :raises BodyError: it is in a format that we do not speak
    """
    name = media_type(content_type or "")[0]
    if name.startswith(_OTHERS) and name not in (STRUCTURED, BATCHED):
        raise BodyError("send CloudEvents as JSON", 415)
    return name.startswith(_OTHERS)


def is_binary(names: Iterable[str]) -> bool:
    """Whether the headers of a request are those of an event, whose data is then the body."""
    return "ce-specversion" in names


def structured_events(content_type: str, body: bytes) -> list[Event]:
    """Return the events of a body.

    :raises BodyError: it is not JSON, or one of them is not an event
    """
    # What was found to be JSON is read once more, as the standard library keeps all digits of a number.
    value = json.loads(parse_json(body).text)
    if media_type(content_type)[0] == STRUCTURED:
        return [_checked(value)]
    if not isinstance(value, list):
        raise BodyError("the body is not a batch of CloudEvents")
    if len(value) > MAX_BATCH:
        raise BodyError(f"the batch has more than {MAX_BATCH:,} CloudEvents", 413)
    return [_checked(each) for each in value]


def binary_event(headers: Iterable[tuple[str, str]], content_type: str | None, body: Body) -> Event:
    """Return the event of headers and a body.

    :raises BodyError: it is none
    """
    event: Event = {}
    for name, text in headers:
        if name.startswith(_PREFIX):
            attribute = name[len(_PREFIX) :]
            if attribute in event or attribute == "datacontenttype":
                raise BodyError("a header of the CloudEvent is there twice, or must not be there")
            event[attribute] = _decoded(text)
    if content_type:
        event["datacontenttype"] = content_type
    return {**_checked(event), "data": body.data}


def identity(event: Mapping[str, Any]) -> str:
    """Return what makes an event known again: two of one source with one id are the same event."""
    source = event["source"].replace(" ", "%20")  # where it should have none
    return f"{source} {event['id']}"


def as_text(event: Mapping[str, Any], data: bytes | None = None) -> bytes:
    """Return an event as JSON.

    :param data: its data, where that is JSON already
    """
    if data is None:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    head = {name: value for name, value in event.items() if name != "data"}
    return b'%b,"data":%b}' % (json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")[:-1], data)


def _checked(value: Any) -> Event:
    """Return an event with its data, whichever way that is written."""
    if not isinstance(value, dict):
        raise BodyError("a CloudEvent is not a JSON object")
    event = {name: each for name, each in value.items() if each is not None or name == "data"}
    if event.get("specversion") != _VERSION:
        raise BodyError("a CloudEvent is not of specversion 1.0")
    if len(event) > _MAX_ATTRIBUTES:
        raise BodyError(f"a CloudEvent has more than {_MAX_ATTRIBUTES} attributes")
    for name, each in event.items():
        if name not in _DATA:
            _check_attribute(name, each)
    missing = [name for name in _REQUIRED if not isinstance(event.get(name), str) or not event[name]]
    if missing:
        raise BodyError(f"a CloudEvent has no {missing[0]}")
    if "data_base64" in event:
        event["data"] = _from_base64(event.pop("data_base64"), event)
    return event


def _check_attribute(name: str, value: Any) -> None:
    if not _ATTRIBUTE.fullmatch(name):
        raise BodyError("a CloudEvent has an attribute with a name that is none")
    if not isinstance(value, str | int) or len(str(value)) > _MAX_TEXT:
        raise BodyError("a CloudEvent has an attribute that is neither a text, a whole number nor a truth value")


def _from_base64(text: Any, event: Event) -> Any:
    """Return data that came as bytes: as JSON or text where its content type says so, else as it came."""
    if "data" in event or not isinstance(text, str):
        raise BodyError("a CloudEvent has data twice, or data_base64 that is no text")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BodyError("a CloudEvent has data_base64 that is not base64") from None
    kind = media_type(str(event.get("datacontenttype", JSON)))[0]
    if kind == JSON or kind.endswith("+json"):
        return parse_json(content).data
    if kind.startswith("text/"):
        return {"text": content.decode("utf-8", "replace")}
    return {"content_type": kind, "size": len(content), "base64": text}


def _decoded(text: str) -> str:
    """Return a header's value: without quotation marks, and percent-decoded once."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = _ESCAPED.sub(r"\1", text[1:-1])
    if _BROKEN.search(text):
        raise BodyError("a header of the CloudEvent is not percent-encoded as it should be")
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        raise BodyError("a header of the CloudEvent is not UTF-8") from None
