"""What a step says under `with`, checked."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowmate_connector import ConfigError

FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
TYPES = ("string", "number", "integer", "boolean")
MODES = ("overwrite", "append")
_FIELDS = ("path", "format", "csv", "types", "mode", "columns")
_CSV_FIELDS = ("delimiter", "quote", "header", "encoding")


@dataclass(frozen=True)
class Csv:
    """How a CSV file is written down.

    :param quote: the quote character; None when nothing is quoted
    :param header: whether the first line has the columns' names
    """

    delimiter: str
    quote: str | None
    header: bool
    encoding: str | None


@dataclass(frozen=True)
class Settings:
    """The fields of both functions."""

    path: str
    format: str
    gzip: bool
    csv: Csv
    types: dict[str, str]
    mode: str
    columns: list[str] | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """Return the settings of a step's `with`.

        :raises ConfigError: a field has a value that does not fit, or is unknown
        """
        _refuse_unknown(config, _FIELDS, "")
        path = config.get("path")
        if not isinstance(path, str) or not path:
            raise ConfigError("the field `path` is missing")
        bare = path.lower().removesuffix(".gz")
        return cls(
            path=path,
            format=_format(config.get("format"), bare),
            gzip=path.lower().endswith(".gz"),
            csv=_csv(config.get("csv") or {}, bare.endswith(".tsv")),
            types=_types(config.get("types") or {}),
            mode=_one_of(config.get("mode") or "overwrite", MODES, "mode"),
            columns=_columns(config.get("columns")),
        )


def _format(value: Any, bare: str) -> str:
    if value is not None:
        return _one_of(value, tuple(dict.fromkeys(FORMATS.values())), "format")
    for ending, name in FORMATS.items():
        if bare.endswith(ending):
            return name
    raise ConfigError(f"the ending of `path` says no format ({', '.join(FORMATS)}); set `format`")


def _csv(value: Any, tabs: bool) -> Csv:
    if not isinstance(value, Mapping):
        raise ConfigError('`csv` must be an object such as {delimiter: ";"}')
    _refuse_unknown(value, _CSV_FIELDS, "csv.")
    delimiter = _character(value.get("delimiter"), "\t" if tabs else ",", "delimiter")
    quote = None if value.get("quote") == "" else _character(value.get("quote"), '"', "quote")
    header = value.get("header", True)
    if not isinstance(header, bool):
        raise ConfigError("`csv.header` must be true or false")
    if delimiter == quote:
        raise ConfigError("`csv.delimiter` and `csv.quote` are the same")
    return Csv(delimiter, quote, header, _encoding(value.get("encoding")))


def _character(value: Any, default: str, name: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str) or len(value) != 1 or value in "\r\n\0":
        raise ConfigError(f"`csv.{name}` must be one character")
    return value


def _encoding(value: Any) -> str | None:
    if value is None:
        return None
    try:
        # Also refuses what is no text encoding, such as rot13 or zlib.
        if isinstance(value, str) and codecs.lookup(value)._is_text_encoding:
            return value
    except (LookupError, ValueError):
        pass
    raise ConfigError(f"`csv.encoding` is {value!r}, which is no known encoding")


def _types(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ConfigError("`types` must be an object of columns and types")
    return {str(column): _one_of(kind, TYPES, f"types.{column}") for column, kind in value.items()}


def _columns(value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ConfigError("`columns` must be a list of names")
    if len(set(value)) < len(value):
        raise ConfigError("`columns` has a name twice")
    return value


def _one_of(value: Any, known: tuple[str, ...], name: str) -> str:
    if value not in known:
        raise ConfigError(f"`{name}` is {value!r}, not one of {', '.join(known)}")
    return str(value)


def _refuse_unknown(value: Mapping[str, Any], known: tuple[str, ...], prefix: str) -> None:
    unknown = sorted(str(name) for name in value if name not in known)
    if unknown:
        raise ConfigError(f"unknown field `{prefix}{unknown[0]}`; there are: {', '.join(known)}")
