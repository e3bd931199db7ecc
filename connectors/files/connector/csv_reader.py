"""CSV files to records."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from flowmate_connector import ConfigError

from .json_stream import LONGEST_VALUE
from .settings import Settings

_INTEGER = re.compile(r"[+-]?[0-9]+")
_TRUE = {"true", "yes", "1", "t", "y"}
_FALSE = {"false", "no", "0", "f", "n"}
_SURROGATE = re.compile("[\udc80-\udcff]")


Convert = Callable[[str], Any]


def read_csv(content: BinaryIO, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield the rows of a CSV file as objects.

    :raises ConfigError: a row has too few or too many values, a value is not of its type, the encoding is
        another; with the line number
    """
    if settings.csv.header and settings.columns:
        raise ConfigError("`columns` names the columns of a file without a header; set `csv.header` to false")
    csv.field_size_limit(LONGEST_VALUE)
    encoding = settings.csv.encoding or "utf-8-sig"
    text = io.TextIOWrapper(content, encoding=encoding, newline="")
    rows = csv.reader(text, strict=True, **dialect(settings))
    columns: list[str] = []
    convert: list[tuple[int, str, Convert]] | None = None
    try:
        for row in rows:
            if not row:
                continue
            if convert is None:
                columns = _columns(settings, row, rows.line_num)
                convert = _converters(columns, settings)
                if settings.csv.header:
                    continue
            yield _record(row, columns, convert, settings, rows.line_num)
    except csv.Error as error:
        raise ConfigError(f"{settings.path}, line {rows.line_num}: {error}") from None
    except UnicodeError:
        line = _undecodable_line(content, encoding)
        raise ConfigError(f"{settings.path}{line}: not {encoding.removesuffix('-sig')}; set `csv.encoding`") from None


def dialect(settings: Settings) -> dict[str, Any]:
    """Return the settings as the module `csv` takes them."""
    options = settings.csv
    if options.quote is None:
        return {"delimiter": options.delimiter, "quoting": csv.QUOTE_NONE, "quotechar": None}
    return {"delimiter": options.delimiter, "quotechar": options.quote}


def _columns(settings: Settings, row: list[str], line: int) -> list[str]:
    if not settings.csv.header:
        names = settings.columns or [f"column_{number}" for number in range(1, len(row) + 1)]
    else:
        names = row
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{settings.path}, line {line}: the column {twice!r} is there twice")
    unknown = sorted(set(settings.types) - set(names))
    if unknown:
        raise ConfigError(f"`types` names {unknown[0]!r}, but the columns are {', '.join(names)}")
    return names


def _converters(columns: list[str], settings: Settings) -> list[tuple[int, str, Convert]]:
    return [
        (index, settings.types[name], _CONVERTERS[settings.types[name]])
        for index, name in enumerate(columns)
        if settings.types.get(name, "string") != "string"
    ]


def _record(
    row: list[str],
    columns: list[str],
    converters: list[tuple[int, str, Convert]],
    settings: Settings,
    line: int,
) -> dict[str, Any]:
    if len(row) != len(columns):
        raise ConfigError(f"{settings.path}, line {line}: {len(row)} values for {len(columns)} columns")
    values: list[Any] = list(row)
    for index, kind, convert in converters:
        text = row[index].strip()
        try:
            values[index] = convert(text) if text else None
        except ValueError:
            shown = text if len(text) <= 40 else text[:40] + "…"
            raise ConfigError(
                f"{settings.path}, line {line}: {shown!r} in the column {columns[index]!r} is no {kind}"
            ) from None
    return dict(zip(columns, values))  # noqa: B905 - the lengths were compared above


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> int | float:
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text)
    if "_" in text or not math.isfinite(number):
        raise ValueError(text)
    return number


def _boolean(text: str) -> bool:
    lower = text.lower()
    if lower in _TRUE:
        return True
    if lower in _FALSE:
        return False
    raise ValueError(text)


_CONVERTERS: dict[str, Convert] = {"integer": _integer, "number": _number, "boolean": _boolean}


def _undecodable_line(content: BinaryIO, encoding: str) -> str:
    # The decoder works ahead of the rows, so a second pass, which only an error costs, looks for the line.
    try:
        content.seek(0)
        text = io.TextIOWrapper(content, encoding=encoding, errors="surrogateescape")
        for number, line in enumerate(text, start=1):
            if _SURROGATE.search(line):
                return f", line {number}"
    except (UnicodeError, OSError, ValueError):
        pass
    return ""
