"""The flow key `select`: which tables of a source are read, and which of their fields.

A field map is plain JSON, so that a hand-written DAG can give it too. hotglue's own maps are a form of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import NotRequired, TypedDict

from flowmate_airflow.flows.errors import shown

ALL = "*"
"""All fields of a table, or all tables that are not named."""
OFF = "!"
"""Before a field's name: not this one."""

_WAYS = 'write `"*"` for all fields, a list of fields, or `false` for none of the table'


def _check_map(value: Any) -> Any:
    if not isinstance(value, dict):
        text = f"{shown(value)} is no mapping of tables to fields"
        raise ValueError(f'{text}; write a line for each table, such as `orders: [id, total]`, or `"*": "*"` for all')
    return value


def _check_form(value: Any) -> Any:
    """Refuse what is none of the forms, in words better than those of a union's error."""
    if isinstance(value, str) and value != ALL:
        one = value if value.isidentifier() else f'"{value:.60}"'
        raise ValueError(f'{shown(value)} is no choice of fields; write `[{one}]` for that field, or `"*"` for all')
    if isinstance(value, dict):
        strange = next((str(key) for key in value if key not in TableChoice.__annotations__), None)
        if strange is not None:
            text = f"a table given as a mapping has `selected` and `name`, not `{strange:.60}`"
            raise ValueError(f"{text}; write nested fields with dots, such as `{strange:.60}.id`")
    elif not isinstance(value, str | bool | list):
        raise ValueError(f"{shown(value)} is no choice of fields; {_WAYS}")
    return value


def _check_name(value: str) -> str:
    name = value.removeprefix(OFF)
    if not name.strip():
        raise ValueError(f"{shown(value)} is no field's name; write one, with dots where it is nested")
    if value == OFF + ALL:
        raise ValueError(f"{shown(value)} would leave no field; write `false` for the table")
    return value


def _check_names(names: list[str]) -> list[str]:
    off = next((name for name in names if name.startswith(OFF)), None)
    if off is not None and ALL not in names:
        raise ValueError(f'`{off}` takes a field off `"*"`, which the list does not have; add `"*"` to it')
    return names


FieldName: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_check_name)]
TableName: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]
FieldNames: TypeAlias = Annotated[list[FieldName], AfterValidator(_check_names)]


class TableChoice(TypedDict):
    """A table as hotglue's field maps have it: with an empty `selected` it is off."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]

    name: NotRequired[Annotated[str, Field(description="The table's name, should the key be another one.")]]
    selected: Annotated[FieldNames, Field(description='The fields that are read; `"*"` for all.')]


_FORMS: dict[type[Any], str] = {str: "$all", bool: "$switch", list: "$fields", dict: "$table"}
"""The tag of each form. They begin with `$`, which the places of problems leave out."""

TableFields: TypeAlias = Annotated[
    Annotated[Literal["*"], Tag("$all")]
    | Annotated[bool, Tag("$switch")]
    | Annotated[FieldNames, Field(min_length=1), Tag("$fields")]
    | Annotated[TableChoice, Tag("$table")],
    Discriminator(lambda value: _FORMS.get(type(value))),
    BeforeValidator(_check_form),
]
FieldMap: TypeAlias = Annotated[dict[TableName, TableFields], Field(min_length=1), BeforeValidator(_check_map)]
"""A table's name, or `*` for all tables that are not named, to its fields."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a field map says of a table.

    :param on: whether it is read at all
    :param everything: all fields, but for those of `without`
    :param names: fields by name, with dots where they are nested
    :param without: the fields taken off `everything`
    :param name: what the map calls the table beside its key
    """

    on: bool
    everything: bool = False
    names: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    name: str | None = None


def choice_of(value: Any) -> Choice:
    """Return what a table's value in a field map means."""
    if isinstance(value, bool) or value == ALL:
        return Choice(on=value is not False, everything=True)
    name = value.get("name") if isinstance(value, dict) else None
    listed: list[str] = value["selected"] if isinstance(value, dict) else value
    names = tuple(dict.fromkeys(each for each in listed if each != ALL and not each.startswith(OFF)))
    without = tuple(dict.fromkeys(each.removeprefix(OFF) for each in listed if each.startswith(OFF)))
    return Choice(bool(listed), ALL in listed, names, without, name)


def check_field_map(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a field map that did not come from a flow file, checked.

    :raises ValueError: it is none; the text names all that is wrong
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"select: {shown(value)} is no mapping of tables to fields")
    try:
        return _adapter().validate_python(dict(value))
    except ValidationError as error:
        told = [f"{_place(item['loc'])}: {_reason(item)}" for item in error.errors(include_url=False)]
        raise ValueError("; ".join(told)) from None


@cache
def _adapter() -> TypeAdapter[dict[str, Any]]:
    return TypeAdapter(FieldMap, config=ConfigDict(strict=True))


def _place(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location if not (isinstance(part, str) and part.startswith(("$", "[")))]
    return ".".join(["select", *parts])


def _reason(item: Any) -> str:
    return str(item["msg"]).removeprefix("Value error, ")
