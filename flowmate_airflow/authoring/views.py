"""The form fields of a component.json as JSON Schema: elastic.io's view classes and what a step may write for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flowmate_airflow.authoring.texts import plain, sentence

Field = Mapping[str, Any]

_HEADERS = {
    "type": "array",
    "items": {"type": "object", "properties": {"key": {"type": "string"}, "value": {"type": "string"}}},
}
_HTTP_AUTH = {
    "type": "object",
    "properties": {
        "type": {"enum": ["No Auth", "Basic Auth", "API Key Auth", "OAuth2", "HMAC"]},
        "basic": {
            "type": "object",
            "properties": {"username": {"type": "string"}, "password": {"type": "string"}},
        },
        "apiKey": {
            "type": "object",
            "properties": {"headerName": {"type": "string"}, "headerValue": {"type": "string"}},
        },
    },
}
_REST_API = {
    "type": "object",
    "properties": {
        "method": {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE"]},
        "url": {"type": "string", "description": "A JSONata expression in most components."},
        "headers": _HEADERS,
        "body": {"type": "object"},
    },
}
MAX_CHOICES = 500


def is_secret(field: Field) -> bool:
    """Whether a field asks for a password."""
    return field.get("viewClass") == "PasswordFieldView"


def is_oauth(field: Field) -> bool:
    """Whether a field holds what an OAuth login gave."""
    return field.get("viewClass") == "OAuthFieldView"


def field_schema(field: Any) -> dict[str, Any]:
    """Return the JSON Schema of a form field."""
    if not isinstance(field, Mapping):
        return {}
    view = field.get("viewClass")
    make = _VIEWS.get(view) if isinstance(view, str) else _text
    schema: dict[str, Any] = make(field) if make else {}
    title = plain(field.get("label") or field.get("title"), 100).rstrip(":")
    told = sentence(field.get("description"), field.get("note"), _help(field), _dynamic(field))
    default = _default(field, schema)
    return {
        **({"title": title} if title else {}),
        **schema,
        **({"description": told} if told else {}),
        **({} if default is None else {"default": default}),
    }


def field_order(fields: Mapping[str, Any]) -> list[str]:
    """Return the fields' names as forms show them: a higher `order` first, else as they stand."""

    def key(name: str) -> float:
        field = fields[name]
        order = field.get("order") if isinstance(field, Mapping) else None
        return -float(order) if isinstance(order, int | float) and not isinstance(order, bool) else 0.0

    return sorted(fields, key=key)


def _text(field: Field) -> dict[str, Any]:
    if isinstance(field.get("default"), int | float) and not isinstance(field.get("default"), bool):
        return {"type": ["string", "number"]}
    return {"type": "string"}


def _select(field: Field) -> dict[str, Any]:
    return _choices(field.get("model")) or {}


def _multi_select(field: Field) -> dict[str, Any]:
    return {"type": "array", "items": _choices(field.get("model")) or {}, "uniqueItems": True}


def _choices(model: Any) -> dict[str, Any] | None:
    """Return the schema of one value of a model: what may be chosen, with what people read for it."""
    if isinstance(model, str):
        return {"type": ["string", "number", "boolean"]}
    if isinstance(model, Mapping):
        pairs = [(str(value), label) for value, label in model.items()]
    elif isinstance(model, list):
        pairs = [pair for pair in map(_pair, model) if pair is not None]
    else:
        return None
    pairs = list(dict(pairs).items())
    if not pairs or len(pairs) > MAX_CHOICES:
        return None
    values = [value for value, _ in pairs]
    titles = [plain(_label(label), 100) or str(value) for value, label in pairs]
    return {"enum": values, **({"enumNames": titles} if titles != values else {})}


def _pair(each: Any) -> tuple[Any, Any] | None:
    if isinstance(each, Mapping):
        value = each.get("value", each.get("id", each.get("key")))
        return None if isinstance(value, list | dict | None) else (value, each.get("label", value))
    return None if isinstance(each, list | None) else (each, each)


def _label(label: Any) -> Any:
    if isinstance(label, Mapping):  # beside the text, it says how the choice is shown
        return next((label[key] for key in ("label", "title", "name", "value") if isinstance(label.get(key), str)), "")
    return label


def _help(field: Field) -> Any:
    told = field.get("help")
    return told.get("description") if isinstance(told, Mapping) else None


def _dynamic(field: Field) -> str | None:
    model = field.get("model")
    if isinstance(model, str) and field.get("viewClass") in ("SelectView", "MultiSelectView"):
        return f"The component looks the choices up ({plain(model, 60)})"
    return None


def _default(field: Field, schema: Mapping[str, Any]) -> Any:
    default = field.get("default")
    if schema.get("type") == "boolean" and isinstance(default, str):
        return {"on": True, "true": True, "false": False}.get(default)
    if default == "" or (isinstance(default, str) and default not in schema.get("enum", [default])):
        return None
    return default


_VIEWS: Mapping[str, Callable[[Field], dict[str, Any]]] = {
    **dict.fromkeys(("TextFieldView", "TextAreaView", "TextFieldWithNoteView", "TextAreaWithNoteView"), _text),
    **dict.fromkeys(("JSONataView", "CodeFieldView"), lambda field: {"type": "string"}),
    "PasswordFieldView": lambda field: {"type": "string", "format": "password"},
    "NumberFieldView": lambda field: {"type": "number"},
    "SelectView": _select,
    "MultiSelectView": _multi_select,
    "CheckBoxView": lambda field: {"type": "boolean"},
    "HTTPAuthView": lambda field: dict(_HTTP_AUTH),
    "RESTAPIView": lambda field: dict(_REST_API),
    **dict.fromkeys(
        ("OAuthFieldView", "WebhookAuthView", "SelectPropertyView", "InMetadataExtensionView"),
        lambda field: {"type": "object"},
    ),
    **dict.fromkeys(("CSVReadView", "CSVWriteView"), lambda field: {"type": "object"}),
}
