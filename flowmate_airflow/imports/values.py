"""Values of the source as the `with` of a step: no secrets, and nothing that Jinja would take for a template."""

from __future__ import annotations

import json
from typing import Any

from flowmate_airflow.flows.expressions import is_template
from flowmate_airflow.imports.ledger import Ledger
from flowmate_airflow.imports.report import Path, is_secret, key_for

_LEFT_OUT = object()
SECRET = "it looks like a secret and was left out: keep it in the Airflow Connection of the step"  # noqa: S105
ESCAPED = "it has Jinja's signs in it: it was escaped, and the step gets it as it was"
UNWRITABLE = "a flow file cannot hold it (a NUL, or a number too large); it was left out"


def config(ledger: Ledger, path: Path, key: str | None = None) -> Any:
    """Take a value and return it as `with` may have it; what is left out or changed is reported.

    :param key: the key that the value will be under
    """
    value = _config(ledger, path, ledger.get(path), key)
    return None if value is _LEFT_OUT else value


def escaped(text: str) -> str:
    """Return a template that gives the text, whatever signs are in it."""
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}"


def _config(ledger: Ledger, path: Path, value: Any, key: str | None) -> Any:
    if isinstance(value, dict):
        ledger.take(path)
        made = {}
        for name, child in value.items():
            if not _is_writable(name):
                ledger.todo((*path, name), UNWRITABLE)
            elif (item := _config(ledger, (*path, name), child, key_for(value, name))) is not _LEFT_OUT:
                made[name] = item
        return made
    if isinstance(value, list):
        ledger.take(path)
        items = [_config(ledger, (*path, number), child, key) for number, child in enumerate(value)]
        return [item for item in items if item is not _LEFT_OUT]
    return _leaf(ledger, path, value, key)


def _leaf(ledger: Ledger, path: Path, value: Any, key: str | None) -> Any:
    if is_secret(key, value):
        # The finding's value is masked by its own key; a secret that only its neighbour betrays is not.
        ledger.secret(path, SECRET)
        return _LEFT_OUT
    if not _is_writable(value):
        ledger.todo(path, UNWRITABLE)
        return _LEFT_OUT
    if is_template(value):
        ledger.info(path, ESCAPED)
        return escaped(value)
    ledger.take(path)
    return value


def _is_writable(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, int) and not isinstance(value, bool):
        return bool(-(2**63) <= value < 2**64)
    return True
