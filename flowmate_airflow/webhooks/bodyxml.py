"""XML that a sender wrote, as the same JSON that FlowMate makes of it."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from flowmate_airflow.webhooks.bodyjson import MAX_DEPTH, Body, BodyError, as_body, is_shallow

_MARK = "@"
"""Marks an attribute until its element is complete; no name in XML begins so."""
ATTRIBUTES = "_attr"
"""The key of an element's attributes."""
TEXT = "_"
"""The key of an element's text, where it has attributes or elements, too."""


def parse_xml(text: str) -> Body:
    """Return an XML body: `{"order": {"_attr": {"id": "7"}, "_": "text", "line": [...]}}`.

    So the webhook service of the Open Integration Hub makes it (xml2js with `attrkey: _attr`): what is there several
    times is a list, and a prefix is set off by `-`, as `:` cannot stand in a name of an expression.

    :raises BodyError: it is no XML, is nested too deep, or has a document type, in which entities would be declared
    """
    import xmltodict

    try:
        value = xmltodict.parse(text, expat=_Careful, attr_prefix=_MARK, cdata_key=TEXT)
    except (expat.ExpatError, ValueError):
        raise BodyError("the body is not XML") from None
    if not is_shallow(value):
        raise BodyError(f"the XML is nested deeper than {MAX_DEPTH}")
    return as_body(_shaped(value))


def _shaped(value: Any) -> Any:
    if isinstance(value, list):
        return [_shaped(item) for item in value]
    if not isinstance(value, dict):
        return value
    attributes = {name[1:]: text for name, text in value.items() if name.startswith(_MARK)}
    shaped: dict[str, Any] = {ATTRIBUTES: attributes} if attributes else {}
    for name, child in value.items():
        if not name.startswith(_MARK):
            shaped[name.replace(":", "-", 1)] = _shaped(child)
    return shaped


class _Careful:
    """What xmltodict uses of the module `expat`: its parser, which here takes no document type."""

    @staticmethod
    def ParserCreate(encoding: str | None, separator: str | None) -> expat.XMLParserType:
        """Return a parser."""
        parser = expat.ParserCreate(encoding, separator)
        parser.StartDoctypeDeclHandler = _refuse
        return parser


def _refuse(*_: Any) -> None:
    raise BodyError("the XML has a document type; send it without")
