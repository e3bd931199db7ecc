"""From a file to records, one at a time."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NoReturn, cast

from flowmate_connector import ConfigError

from .csv_reader import read_csv
from .json_stream import LONGEST_VALUE, JsonStreamError, iterate_array
from .settings import Settings


def read_records(file: BinaryIO, settings: Settings) -> Iterator[Any]:
    """Yield the records of a file.

    :param file: opened as bytes, at its start
    :raises ConfigError: the file is not what its format says; with the line number
    """
    with gzip_errors(settings):
        content = cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb")) if settings.gzip else file
        if settings.format == "csv":
            yield from read_csv(content, settings)
        elif settings.format == "jsonl":
            yield from _read_lines(content, settings)
        else:
            yield from _read_json(content, settings)


def _read_lines(content: BinaryIO, settings: Settings) -> Iterator[Any]:
    number = 0
    while line := content.readline(LONGEST_VALUE):
        number += 1
        if len(line) >= LONGEST_VALUE:
            raise ConfigError(f"{settings.path}, line {number}: longer than {LONGEST_VALUE} bytes")
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if line.isspace() or not line:
            continue
        try:
            yield json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
        except UnicodeDecodeError:
            raise ConfigError(f"{settings.path}, line {number}: not UTF-8") from None
        except (ValueError, RecursionError) as error:
            text = getattr(error, "msg", None) or str(error)
            raise ConfigError(f"{settings.path}, line {number}: not JSON: {text}") from None


def _read_json(content: BinaryIO, settings: Settings) -> Iterator[Any]:
    try:
        yield from iterate_array(io.TextIOWrapper(content, encoding="utf-8-sig"), _refuse_constant)
    except JsonStreamError as error:
        raise ConfigError(f"{settings.path}, line {error.line}: {error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{settings.path} is not UTF-8") from None


@contextmanager
def gzip_errors(settings: Settings) -> Iterator[None]:
    """A context whose errors of a broken gzip file are the step's.

    :raises ConfigError: it is no whole gzip file
    """
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise ConfigError(f"{settings.path} is no whole gzip file: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
