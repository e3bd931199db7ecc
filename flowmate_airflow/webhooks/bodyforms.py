"""Forms that a sender filled in: `application/x-www-form-urlencoded` and `multipart/form-data`."""

from __future__ import annotations

import base64
import binascii
import quopri
from typing import Any
from urllib.parse import parse_qsl

from flowmate_airflow.webhooks.bodyjson import Body, BodyError, as_body

MAX_FIELDS = 1000
_MAX_NAME = 1000
_TEXT = "text/plain"


def parse_urlencoded(body: bytes) -> Body:
    """Return a form's fields; a field that is there several times is a list.

    :raises BodyError: it is none, is not UTF-8, or has too many fields
    """
    return as_body(fields(body, "the form"))


def fields(text: bytes, what: str) -> dict[str, Any]:
    """Return the fields of a form or a query.

    :param what: it is, for errors
    :raises BodyError: it is not UTF-8, or has too many fields
    """
    try:
        pairs = parse_qsl(
            text.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS, separator="&"
        )
    except UnicodeDecodeError:
        raise BodyError(f"{what} is not UTF-8") from None
    except ValueError:
        raise BodyError(f"{what} has more than {MAX_FIELDS} fields") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        _add(found, name, value)
    return found


def parse_multipart(body: bytes, content_type: str) -> Body:
    """Return the fields and files of a form.

    A file becomes `{"filename", "content_type", "size", "base64"}`, whatever a field of that name says; nothing is
    written to a disk, and no name of a file is ever taken for a path.

    :raises BodyError: it is none, or has too many parts
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    _, options = parse_options_header(content_type)
    parts = _Parts()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise BodyError("the body is not a multipart form") from None
    if not options.get(b"boundary") or not parts.is_complete:
        raise BodyError("the body is not a complete multipart form")
    found: dict[str, Any] = {}
    for name, value in parts.found:
        _add(found, name, value)
    return as_body(found, tuple(sorted({name for name, value in parts.found if isinstance(value, dict)})))


def _add(found: dict[str, Any], name: str, value: Any) -> None:
    if name not in found:
        found[name] = value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]


class _Parts:
    """Collects the parts of a multipart form, as the parser finds them."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Any]] = []
        self.is_complete = False
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._data: list[bytes] = []

    def callbacks(self) -> Any:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.found) >= MAX_FIELDS:
            raise BodyError(f"the form has more than {MAX_FIELDS} parts")
        self._headers, self._data = {}, []

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value.strip()
        self._name = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        from python_multipart.multipart import parse_options_header

        kind, options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            raise BodyError("a part of the form has no name")
        content = self._content()
        name = _text(options[b"name"], "the name of a field")
        if b"filename" not in options:
            self.found.append((name, _text(content, "a field of the form")))
            return
        file = {
            "filename": _text(options[b"filename"], "the name of a file"),
            "content_type": self._headers.get(b"content-type", _TEXT.encode()).decode("latin-1"),
            "size": len(content),
            "base64": base64.b64encode(content).decode(),
        }
        self.found.append((name, file))

    def _content(self) -> bytes:
        data = b"".join(self._data)
        coding = self._headers.get(b"content-transfer-encoding", b"binary").lower()
        if coding == b"base64":
            try:
                return base64.b64decode(data, validate=False)
            except binascii.Error:
                raise BodyError("a part of the form is not base64, as it says") from None
        return quopri.decodestring(data) if coding == b"quoted-printable" else data

    def _end(self) -> None:
        self.is_complete = True


def _text(data: bytes, what: str) -> str:
    if what != "a field of the form" and len(data) > _MAX_NAME:
        raise BodyError(f"{what} is longer than {_MAX_NAME:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise BodyError(f"{what} is not UTF-8") from None
