"""What a signature is over: a template that a scheme's row holds, filled in from the request."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

from flowmate_airflow.webhooks.requests import HookRequest, Rejected, parameters

UrlForm = Literal["plain", "twilio", "hubspot"]

_FIELD = re.compile(r"\{([^{}]*)\}")
_HEADER = re.compile(r"header:([a-z0-9][a-z0-9_-]{0,99})")
_FIELDS = ("body", "timestamp", "method", "url", "form")
_URL = re.compile(r"(https?)(://[^/?#:@\[\]]+)(:[0-9]+)?(.*)", re.DOTALL)
_PORTS = {"https": ":443", "http": ":80"}
# https://developers.hubspot.com/docs/guides/apps/authentication/validating-requests
_HUBSPOT = re.compile(r"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)

Part = tuple[str, str]
"""What kind of part: `text`, `header` or a field's name; and the text or the header's name."""


@lru_cache(maxsize=256)
def template(signed: str) -> tuple[Part, ...]:
    """Return the parts of a template such as `v0:{timestamp}:{body}`.

    :raises ValueError: a field of it is unknown
    """
    parts: list[Part] = []
    place = 0
    for match in _FIELD.finditer(signed):
        parts += [("text", signed[place : match.start()]), _field(match[1])]
        place = match.end()
    return (*parts, ("text", signed[place:]))


def _field(name: str) -> Part:
    header = _HEADER.fullmatch(name)
    if header:
        return "header", header[1]
    if name not in _FIELDS:
        fields = ", ".join(f"{{{each}}}" for each in _FIELDS)
        raise ValueError(f"{{{name}}} is unknown; there are {fields} and {{header:NAME}}, in lower case")
    return name, ""


def signed_headers(signed: str) -> tuple[str, ...]:
    """Return the headers that a template names."""
    return tuple(name for kind, name in template(signed) if kind == "header")


def has_field(signed: str, name: str) -> bool:
    """Return whether a template has a field."""
    return any(kind == name for kind, _ in template(signed))


def message(signed: str, request: HookRequest, url: str, timestamp: str) -> bytes:
    """Return what was signed.

    :param url: the request's address in the form in which this sender signs it
    :raises Rejected: a part of it is missing
    """
    return b"".join(_bytes(kind, name, request, url, timestamp) for kind, name in template(signed))


def _bytes(kind: str, name: str, request: HookRequest, url: str, timestamp: str) -> bytes:
    if kind == "header":
        text = request.header(name)
        if not text:
            raise Rejected(f"the header {name} is missing")
        return text.encode()
    if kind == "body":
        return request.body
    if kind == "form":
        return _form(request)
    texts = {"text": name, "timestamp": timestamp, "method": request.method, "url": url}
    return texts[kind].encode("utf-8", "surrogatepass")


def _form(request: HookRequest) -> bytes:
    """Return the names and values of a form, sorted. Any other body has its digest in the URL, which is signed.

    https://www.twilio.com/docs/usage/security
    """
    if not request.body:
        return b""
    content_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if content_type == "application/x-www-form-urlencoded":
        try:
            pairs = parameters(request.body.decode("utf-8"), "form")
        except UnicodeDecodeError:
            raise Rejected("the form is not UTF-8") from None
        return "".join(f"{name}{value}" for name, value in sorted(set(pairs))).encode("utf-8", "surrogatepass")
    told = request.query().get("bodySHA256", "").encode("utf-8", "surrogatepass")
    if not hmac.compare_digest(hashlib.sha256(request.body).hexdigest().encode(), told):
        raise Rejected("the body is no form, and its digest is not the bodySHA256 of the URL")
    return b""


def _plain(url: str) -> tuple[str, ...]:
    return (url,)


def _with_and_without_port(url: str) -> tuple[str, ...]:
    """Return an address in Twilio's two forms: it is not consistent in which it signs."""
    match = _URL.fullmatch(url)
    if not match:
        return (url,)
    scheme, host, port, rest = match[1], match[2], match[3] or "", match[4]
    return tuple(dict.fromkeys((url, f"{scheme}{host}{rest}", f"{scheme}{host}{port or _PORTS[scheme]}{rest}")))


def _unescaped(url: str) -> tuple[str, ...]:
    """Return an address in HubSpot's form: some escapes decoded, without fragment."""
    return (_HUBSPOT.sub(lambda match: chr(int(match[1], 16)), url.partition("#")[0]),)


URL_FORMS: Mapping[UrlForm, Callable[[str], tuple[str, ...]]] = {
    "plain": _plain,
    "twilio": _with_and_without_port,
    "hubspot": _unescaped,
}
"""How senders write the address that they sign; a signature over any of the forms is right."""
