"""What the body of a request means, by its content type."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from functools import lru_cache
from typing import Any

from flowmate_airflow.webhooks.bodyforms import fields, parse_multipart, parse_urlencoded
from flowmate_airflow.webhooks.bodyjson import Body, BodyError, as_body, parse_json
from flowmate_airflow.webhooks.bodyxml import parse_xml

__all__ = ["Body", "BodyError", "JSON", "check_encoding", "decode", "media_type", "query_of"]

JSON = "application/json"
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_BODILESS = frozenset({"GET", "HEAD"})


@lru_cache(maxsize=256)
def media_type(content_type: str) -> tuple[str, str]:
    """Return what a header Content-Type names, and its charset, both in lower case."""
    name, semicolon, _ = content_type.partition(";")
    if not semicolon:
        return name.strip().lower(), ""
    header = Message()
    header["content-type"] = content_type
    charset = header.get_param("charset", "")
    return name.strip().lower(), charset.strip().lower() if isinstance(charset, str) else "rfc2231"


def check_encoding(content_encoding: str | None) -> None:
    """Check that a body came as it is: what is compressed could unfold to any size.

    :raises BodyError: it did not
    """
    if content_encoding is not None and content_encoding.strip().lower() not in ("", "identity"):
        raise BodyError("send the body without a Content-Encoding", 415)


def query_of(query: str) -> dict[str, Any]:
    """Return the parameters of a query; one that is there several times is a list.

    :raises BodyError: it is not UTF-8, or has too many
    """
    return fields(query.encode("latin-1", "replace"), "the query") if query else {}


def decode(method: str, content_type: str | None, body: bytes, query: Mapping[str, Any]) -> Body:
    """Return what a request's body means.

    :param query: the data of a request that has no body for it
    :raises BodyError: it has a content type that is not known or none, or is not what its content type says
    """
    if not body:
        return as_body(dict(query) if method in _BODILESS else {})
    if not content_type:
        raise BodyError("send the body with a Content-Type", 415)
    name, charset = media_type(content_type)
    if charset not in _CHARSETS:
        raise BodyError("send the body in UTF-8", 415)
    if name == JSON or name.endswith("+json"):
        return parse_json(body)
    if name == "application/x-www-form-urlencoded":
        return parse_urlencoded(body)
    if name == "multipart/form-data":
        return parse_multipart(body, content_type)
    if name in ("application/xml", "text/xml") or name.endswith("+xml"):
        return parse_xml(_utf8(body))
    if name.startswith("text/"):
        return _text_or_json(_utf8(body))
    raise BodyError("the Content-Type is not one that can be taken", 415)


def _text_or_json(text: str) -> Body:
    try:
        return parse_json(text.encode())
    except BodyError:
        return as_body({"text": text})


def _utf8(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise BodyError("the body is not UTF-8") from None
