"""What people fill in to link a connector: which fields a method has, and what they said, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flowmate_airflow.auth.connections import MAX_HOST, Stored
from flowmate_airflow.auth.consents import needs_consent
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.grants import MARK, TOKEN
from flowmate_airflow.auth.values import CLIENT_ID, CLIENT_SECRET
from flowmate_airflow.batches.batch import depth_is_at_most
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.oauth import OAuth2
from flowmate_airflow.flows.errors import did_you_mean, shown
from flowmate_airflow.flows.expressions import leaves
from flowmate_airflow.flows.schemas import violations

MAX_TEXT = 64 * 1024
"""Characters of one field: keys and certificates have some thousands."""
MAX_FIELDS = 100
MAX_DEPTH = 50
"""Levels of lists and objects in one field."""
_SECRET = re.compile(r"secret|token(?!_?ur[il]$)|passw|passphrase|private|credential|(^|_)key$", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ADDRESS = re.compile(r"(https?://)?(\[[0-9A-Fa-f:.]+\]|[^\s/@\\?#:]+)(:[0-9]{1,5})?([/?][^\s\\]*)?")
_IN_COLUMN = ("host", "schema", "url")
"""Parts that Airflow keeps in columns of limited length."""
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "")


class FormError(LoginError):
    """What was filled in cannot be taken.

    :param problems: a sentence for each field that is wrong, by its name
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(self.problems.values()))


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form.

    :param part: of the Connection that keeps it
    :param schema: what the manifest says of it
    :param secret: whether nobody may see what is typed
    :param own_application: whether it names an application of the tenant's own, which few have
    """

    name: str
    part: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    required: bool = False
    secret: bool = False
    own_application: bool = False

    @property
    def title(self) -> str:
        """What people call it."""
        title = self.schema.get("title")
        return title if isinstance(title, str) and title else self.name

    @property
    def default(self) -> Any:
        """What it is where nobody says otherwise."""
        return self.schema.get("default")


def form_of(method: AuthMethod) -> list[FormField]:
    """Return the fields of a method's form, in the manifest's order."""
    fields = [_field(method, name, part) for name, part in method.asked.items()]
    if needs_consent(method):
        fields += [each for each in _OWN_APPLICATION if each.name not in method.asked]
    return fields


_OWN_APPLICATION = (
    FormField(CLIENT_ID, f"extra.{CLIENT_ID}", {"title": "Client id of your own application"}, own_application=True),
    FormField(
        CLIENT_SECRET,
        f"extra.{CLIENT_SECRET}",
        {"title": "Client secret of your own application"},
        secret=True,
        own_application=True,
    ),
)


def checked(method: AuthMethod, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was filled in, in the types of its schemas and with the defaults of what was left out.

    :param name: the method's, for errors
    :param values: by the fields' names; texts as forms give them, or JSON
    :raises FormError: a field is unknown, missing, wrong or too long; no secret is in the text
    """
    known = {each.name: each for each in form_of(method)}
    problems = dict(_unknown(known, name, values))
    found: dict[str, Any] = {}
    for each in known.values():
        problem = _take(each, values.get(each.name), found)
        if problem is not None:
            problems[each.name] = problem
    if CLIENT_SECRET in found and CLIENT_ID not in found and known[CLIENT_SECRET].own_application:
        problems.setdefault(CLIENT_ID, f"`{CLIENT_ID}` is missing: the secret is of no use without it")
    if problems:
        raise FormError(problems)
    return found


def filled(stored: Stored, method: AuthMethod, values: Mapping[str, Any]) -> Stored:
    """Return a Connection with what :func:`checked` gave in the parts that keep it."""
    parts = {each.name: each.part for each in form_of(method)}
    for name, value in values.items():
        stored = put_part(stored, parts[name], value)
    return stored


def shown_before(stored: Stored, method: AuthMethod) -> dict[str, Any]:
    """Return what was filled in earlier, besides secrets, by the fields' names."""
    account = stored.account()
    values = {
        each.name: account.part(each.part)
        for each in form_of(method)
        if not each.secret and not each.own_application and each.part != "extra"
    }
    return {name: value for name, value in values.items() if value is not None}


def put_part(stored: Stored, part: str, value: Any) -> Stored:
    """Return a Connection with one part filled in."""
    if part.startswith("extra."):
        return replace(stored, extra={**stored.extra, part.removeprefix("extra."): value})
    if part == "extra":
        return replace(stored, extra={**stored.extra, **value})
    if part == "port":
        return replace(stored, port=int(value))
    changes: dict[str, Any] = {"host" if part == "url" else part: str(value)}
    return replace(stored, **changes)


def _field(method: AuthMethod, name: str, part: str) -> FormField:
    schema = method.fields.get(name, {})
    needed = name in method.required or (name in method.login_parts and not _may_lack(method, part))
    secret = schema.get("format") == "password" or part == "password"
    if "format" not in schema and part.startswith("extra."):
        secret = secret or bool(_SECRET.search(part)) or bool(_SECRET.search(name))
    secret = secret or part == "extra" or _has_secrets(schema)
    return FormField(name, part, schema, needed, secret)


def _has_secrets(schema: Any) -> bool:
    """Whether a part of a value is secret, by its schema: then the whole is."""
    if isinstance(schema, list):
        return any(map(_has_secrets, schema))
    if not isinstance(schema, Mapping):
        return False
    properties = schema.get("properties")
    named = properties if isinstance(properties, Mapping) else {}
    is_secret = schema.get("format") == "password" or any(_SECRET.search(str(name)) for name in named)
    return is_secret or any(map(_has_secrets, schema.values()))


def _may_lack(method: AuthMethod, part: str) -> bool:
    """Whether a client may have no secret, as it shows a certificate."""
    return isinstance(method, OAuth2) and method.mtls and part == "password"


def _unknown(known: Mapping[str, FormField], method: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in list(values)[: MAX_FIELDS + 1]:
        if name not in known:
            hint = did_you_mean(str(name), known) or "it has none"
            yield str(name)[:100], f"{shown(str(name))} is no field of the method `{method}`; {hint}"
    if len(values) > MAX_FIELDS:
        yield "", f"a form has up to {MAX_FIELDS} fields, not {len(values):,}"


def _take(each: FormField, value: Any, found: dict[str, Any]) -> str | None:
    """Take one field and return what is wrong with it."""
    if isinstance(value, str):
        value = value.strip("\r\n")
    if value in (None, ""):
        value = each.default
    if value in (None, ""):
        return f"`{each.name}` is missing" if each.required else None
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"`{each.name}` is too long: it has {len(value):,} characters, and {MAX_TEXT:,} are possible"
    value = _typed(each, value)
    if not depth_is_at_most(value, MAX_DEPTH):
        return f"`{each.name}` is nested more than {MAX_DEPTH} levels deep"
    problem = _misfit(each, value) or _unfit_for_part(each, value)
    if problem is None:
        found[each.name] = value
    return problem


def _typed(each: FormField, value: Any) -> Any:
    """Return a text as the type that its schema wants, where it can be that."""
    if not isinstance(value, str):
        return value
    kinds = each.schema.get("type", "integer" if each.part == "port" else "object" if each.part == "extra" else None)
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        try:
            return _READERS[kind](value)
        except (KeyError, ValueError, RecursionError):
            continue
    return value


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError
    return word in _TRUE


def _json(kind: type[Any]) -> Any:
    def read(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError
        return value

    return read


def _number(text: str) -> float:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", text.strip()):
        raise ValueError
    return float(text)


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise ValueError
    return int(text)


_READERS: dict[Any, Any] = {
    "string": str,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "object": _json(dict),
    "array": _json(list),
}


def _misfit(each: FormField, value: Any) -> str | None:
    """Return how a value does not fit its schema; of a secret without the value."""
    found = next(violations({each.name: dict(each.schema)}, {each.name: value}), None)
    if found is None:
        return None
    if not each.secret:
        return found.message
    message = found.message.replace(shown(found.value), "what was filled in")
    is_told = any(isinstance(text, str) and text and text in message for _, text in leaves(value))
    return f"`{each.name}` does not fit what the connector wants" if is_told else message


def _unfit_for_part(each: FormField, value: Any) -> str | None:
    """Return why a part of an Airflow Connection cannot keep a value."""
    name, part = f"`{each.name}`", each.part
    if _has_control(value):
        return f"{name} has a character that cannot be: a control character, or half of one"
    if part == "extra":
        ours = {MARK, TOKEN}
        is_good = isinstance(value, dict) and not ours & set(value)
        return None if is_good else f"{name} must be a JSON object, without {' and '.join(sorted(ours))}"
    if part == "port":
        is_port = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
        return None if is_port else f"{name} must be a port, 1 to 65535"
    if part.startswith("extra."):
        return None if len(json.dumps(value)) <= 2 * MAX_TEXT else f"{name} is too long"
    if isinstance(value, bool | dict | list):
        return f"{name} must be a text, not {shown(value)}"
    if part in _IN_COLUMN and len(str(value)) > MAX_HOST:
        return f"{name} is too long: it has {len(str(value)):,} characters, and {MAX_HOST} are possible"
    if part in ("host", "url") and not _ADDRESS.fullmatch(str(value)):
        return f"{name} is no address; write it as https://shop.example.com"
    return None


def _has_control(value: Any) -> bool:
    if isinstance(value, str):
        return _CONTROL.search(value) is not None
    if isinstance(value, Mapping):
        return any(_has_control(child) for pair in value.items() for child in pair)
    return isinstance(value, list) and any(_has_control(child) for child in value)
