"""What `{name}` in a manifest's addresses, parameters and bodies stands for.

A value comes from whoever filled in a form, so it never leads a request to another host than the manifest's author
meant: where it stands in a host it is labels of a name and no more, and elsewhere in an address it is one word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.catalog.placeholders import BEGUN, NAME, WRITTEN, names_in
from flowmate_airflow.flows.errors import shown

_LABELS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
_MAX_HOST = 253
_DOTS = re.compile(r"(^|/)\.{1,2}(/|$)")


def filled_text(template: str, values: Mapping[str, str]) -> str:
    """Return a text with its values.

    :raises LoginError: one is missing
    """
    return NAME.sub(lambda match: _value(match[1], values), template)


def filled_params(
    templates: Mapping[str, str], values: Mapping[str, str], optional: Collection[str] = ()
) -> dict[str, str]:
    """Return parameters with their values.

    :param optional: a parameter that is one of these and no more is left out where it has no value
    :raises LoginError: one is missing
    """
    return {
        name: filled_text(template, values)
        for name, template in templates.items()
        if not _may_go(template, values, optional)
    }


def _may_go(template: str, values: Mapping[str, str], optional: Collection[str]) -> bool:
    whole = NAME.fullmatch(template)
    return whole is not None and whole[1] in optional and not values.get(whole[1])


def filled_json(template: Any, values: Mapping[str, str]) -> Any:
    """Return JSON with the values in its texts.

    :raises LoginError: one is missing
    """
    if isinstance(template, str):
        return filled_text(template, values)
    if isinstance(template, Mapping):
        return {key: filled_json(child, values) for key, child in template.items()}
    if isinstance(template, list):
        return [filled_json(child, values) for child in template]
    return template


def filled_address(template: str, values: Mapping[str, str], *, private: bool = False) -> str:
    """Return an address with its values.

    :param private: an address without TLS will do
    :raises LoginError: a value is missing, or is none that may stand where it stands
    """
    begun = BEGUN.fullmatch(template)
    if begun:
        return _whole(begun[1], _value(begun[1], values), private=private) + _rest(begun["rest"], values)
    written = WRITTEN.fullmatch(template)
    if written is None:
        raise LoginError(f"{shown(template)} is no address: it begins with https:// or with the credential that does")
    if written["scheme"] == "http://" and not private:
        raise LoginError(f"{shown(template)} is without TLS, which goes with `private: true` only")
    host = NAME.sub(lambda match: _label(match[1], _value(match[1], values)), written["host"])
    if len(host) > _MAX_HOST:
        raise LoginError(f"the host of {shown(template)} is longer than a host's name can be")
    return f"{written['scheme']}{host}{_rest(written['rest'], values)}"


def _value(name: str, values: Mapping[str, str]) -> str:
    value = values.get(name)
    if not value:
        raise LoginError(f"`{name}` is not set, and the login needs it")
    return value


def _label(name: str, value: str) -> str:
    if not _LABELS.fullmatch(value):
        raise LoginError(f"`{name}` stands in the name of a host, so it has letters, digits, - and . only")
    return value


def _rest(template: str, values: Mapping[str, str]) -> str:
    """Return what follows the host: a value there is one word, whatever it has in it."""
    rest = NAME.sub(lambda match: quote(_value(match[1], values), safe=""), template)
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    if path != re.split(r"[?#]", template, maxsplit=1)[0] and _DOTS.search(path):
        # Whoever sends the request would take them for a step up.
        raise LoginError(f"{' or '.join(f'`{name}`' for name in names_in(template))} cannot be `.` or `..`")
    return rest


def _whole(name: str, value: str, *, private: bool) -> str:
    """Return a value that is an address of its own, or the beginning of one."""
    wrong = f"`{name}` must be an address that begins with https:// and has neither a user, nor a query"
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise LoginError(wrong) from None
    if parts.scheme == "http" and not private:
        raise LoginError(f"`{name}` is an address without TLS; it must begin with https://")
    host = parts.hostname or ""
    is_host = _LABELS.fullmatch(host) or (parts.netloc.startswith("[") and re.fullmatch(r"[0-9a-f:.]+", host))
    if parts.scheme not in ("http", "https") or not is_host or not port_is_right or "@" in parts.netloc:
        raise LoginError(wrong)
    if not re.fullmatch(r"[\x21-\x7e]*", value) or re.search(r"[?#\\]", value) or _DOTS.search(parts.path):
        raise LoginError(wrong)
    return value.rstrip("/")
