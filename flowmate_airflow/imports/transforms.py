"""A transform of OIH as a `map`: its result replaces the whole message there, and only `data` here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from flowmate_airflow.flows.expressions import check_jsonata
from flowmate_airflow.imports.jsonata_text import is_object, object_entries
from flowmate_airflow.imports.report import is_secret

KEPT_PARTS = ("metadata", "attachments", "passthrough")
"""What a message made by `map` keeps of the message it was made of."""
_TEXT = re.compile(
    r"""(?:(["'])(?P<key>[^"']*)\1\s*:\s*)?(["'])(?P<value>(?:\\.|(?!\3)[^\\])*)\3""",
    re.DOTALL,
)
"""A text in an expression, with the key that it stands under."""
LEFT_OUT = '$error("the transform was left out, for it has a secret in it: write it here")'
_BODY = re.compile(r"""(?<![\w$.`"'])body\b""")


class BadTransform(ValueError):
    """The transform is no JSONata."""


@dataclass(frozen=True, slots=True)
class Transform:
    """What a transform becomes.

    :param map: the expression of the `map` step, or None when it changes nothing
    :param warnings: what is different now and has to be looked at
    """

    map: str | None
    warnings: list[str] = field(default_factory=list)


def as_map(source: str) -> Transform:
    """Return a transform over whole messages as the expression of a `map` step.

    :raises BadTransform: it is not valid JSONata
    """
    problem = check_jsonata(source)
    if problem is not None:
        raise BadTransform(problem.message)
    warnings = ["it reads `body`, and messages here have `data`"] if _BODY.search(source) else []
    entries = object_entries(source)
    if entries is None or "data" not in entries or check_jsonata(entries["data"]) is not None:
        if re.search(r"\bmetadata\b", source):
            warnings.append("a `map` keeps the message's own metadata: metadata that it changes are lost")
        return Transform(_wrapped(source), warnings)
    data = entries.pop("data")
    for part, made in entries.items():
        if part not in KEPT_PARTS:
            warnings.append(f"the result's `{part}` is lost: messages here have no such part")
        elif made not in (part, f"$.{part}", f"$$.{part}"):
            warnings.append(f"a `map` keeps the message's own {part}: those that it makes are lost ({made})")
    if data in ("data", "$.data", "$$.data"):
        return Transform(None, warnings)
    return Transform(data if is_object(data) else _guarded(data), warnings)


def has_secret(source: str) -> bool:
    """Whether a text written into an expression looks like a secret."""
    return any(is_secret(found["key"], found["value"]) for found in _TEXT.finditer(source))


def identity() -> str:
    """Return the expression of a `map` step that changes nothing."""
    return _one("data")


def _one(name: str) -> str:
    """Return an expression for one message: a list as data would make a message of each element."""
    return f'$type({name}) = "array" ? [[{name}]] : {name}'


def _guarded(data: str) -> str:
    """Return an expression for data that may be a list, or nothing, which made empty data in OIH."""
    return f"(\n  $d := (\n{data}\n  );\n  $exists($d) ? ({_one('$d')}) : {{}}\n)"


def _wrapped(source: str) -> str:
    return f"(\n  $m := (\n{source}\n  );\n  $exists($m) ? ($exists($m.data) ? ({_one('$m.data')}) : {{}})\n)"
