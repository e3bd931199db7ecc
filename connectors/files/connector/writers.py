"""From records to the bytes of a file, one at a time."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
from abc import ABC, abstractmethod
from typing import Any

from flowmate_connector import ConfigError

from .csv_reader import dialect
from .readers import gzip_errors
from .settings import Settings
from .target import Target

TAIL = 64 * 1024
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class BadRecord(ValueError):
    """A record that the file cannot take; nothing of it has been written."""


class Writer(ABC):
    """Writes records into a target."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @abstractmethod
    def write(self, record: Any) -> None:
        """Write one record.

        :raises BadRecord: the file cannot take it
        """

    @abstractmethod
    def finish(self) -> None:
        """Write what comes after the last record."""


def make_writer(target: Target, settings: Settings) -> Writer:
    """Return the writer for a format.

    :raises ConfigError: the format cannot do it
    """
    with gzip_errors(settings):
        if settings.format == "csv":
            return CsvWriter(target, settings)
        if settings.format == "jsonl":
            return LinesWriter(target)
    if target.appends:
        raise ConfigError(f"{settings.path!r} is one JSON value, which cannot be appended to; use JSON Lines")
    return ArrayWriter(target)


class LinesWriter(Writer):
    """JSON Lines."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        if target.appends and not _ends_with_newline(target):
            target.write(b"\n")

    def write(self, record: Any) -> None:
        """Write one line."""
        self._target.write(_json(record) + b"\n")

    def finish(self) -> None:
        """Write nothing: each line is whole."""


class ArrayWriter(Writer):
    """A JSON array with a record on each line."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._before = b"[\n"

    def write(self, record: Any) -> None:
        """Write one element."""
        self._target.write(self._before + _json(record))
        self._before = b",\n"

    def finish(self) -> None:
        """Close the array."""
        self._target.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")


class CsvWriter(Writer):
    """CSV with the line ends of RFC 4180.

    :param settings: give the columns; else the file appended to does, else the first record
    """

    def __init__(self, target: Target, settings: Settings) -> None:
        super().__init__(target)
        self._settings = settings
        self._encoder = codecs.getincrementalencoder(settings.csv.encoding or "utf-8")()
        self._text = io.StringIO(newline="")
        self._csv = csv.writer(self._text, **dialect(settings))
        self._columns: list[str] | None = settings.columns
        self._header_is_due = settings.csv.header
        if target.appends:
            self._go_on()

    def write(self, record: Any) -> None:
        """Write one row."""
        if not isinstance(record, dict):
            raise BadRecord("a row of a CSV file must be an object of columns and values")
        columns = list(record) if self._columns is None else self._columns
        if not columns:
            raise BadRecord("the object is empty, so that it gives no columns")
        unknown = sorted(set(record) - set(columns))
        if unknown:
            raise BadRecord(
                f"the file has no column {unknown[0]!r}; its columns are {', '.join(columns)}; "
                "list it in `columns` to write it"
            )
        row = [_cell(record.get(name)) for name in columns]
        self._target.write(self._encoded([columns, row] if self._header_is_due else [row]))
        self._columns, self._header_is_due = columns, False

    def finish(self) -> None:
        """Write the header of a file without rows, where its columns are known."""
        if self._header_is_due and self._columns is not None:
            self._target.write(self._encoded([self._columns]))

    def _encoded(self, rows: list[list[str]]) -> bytes:
        self._text.seek(0)
        self._text.truncate()
        state = self._encoder.getstate()
        try:
            self._csv.writerows(rows)
            return self._encoder.encode(self._text.getvalue())
        except UnicodeEncodeError as error:
            self._encoder.setstate(state)
            letter = error.object[error.start]
            raise BadRecord(f"{letter!r} cannot be written in the encoding {error.encoding}") from None
        except csv.Error as error:
            raise BadRecord(f"a value cannot be written without a quote character ({error})") from None

    def _go_on(self) -> None:
        """Take over the columns of the file that is appended to."""
        if self._header_is_due:
            first = self._existing_columns()
            if self._columns is not None and self._columns != first:
                columns = ", ".join(self._columns)
                raise ConfigError(f"`columns` are {columns}, but {self._settings.path!r} has {', '.join(first)}")
            self._columns, self._header_is_due = first, False
        # The mark at the start of the file (UTF-16, utf-8-sig) must not come again.
        self._encoder.encode("x")
        if not _ends_with_newline(self._target):
            self._target.write(self._encoder.encode("\r\n"))

    def _existing_columns(self) -> list[str]:
        settings = self._settings
        encoding = settings.csv.encoding or "utf-8-sig"
        with io.TextIOWrapper(self._target.read_existing(), encoding=encoding, newline="") as text:
            try:
                return next(csv.reader(text, strict=True, **dialect(settings)), [])
            except (csv.Error, UnicodeError):
                raise ConfigError(f"the header of {settings.path!r} cannot be read, to append to it") from None


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else _json(value).decode()


def _json(value: Any) -> bytes:
    try:
        return _encoder.encode(value).encode()
    except UnicodeEncodeError:
        raise BadRecord("a text has half a surrogate pair, which has no UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"not valid JSON: {error}") from None


def _ends_with_newline(target: Target) -> bool:
    last = b""
    with target.read_existing() as file:
        if not isinstance(file, gzip.GzipFile):
            file.seek(-min(TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
        while chunk := file.read(TAIL):
            last = chunk[-4:]
    # In UTF-16 and UTF-32 a line break has zero bytes around it.
    return last.rstrip(b"\0").endswith(b"\n")
