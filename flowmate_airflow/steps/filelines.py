"""Lines of a component's own files, which may be anything: compressed or not, broken, or without an end."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from typing import IO, Any, cast

from flowmate_airflow.protocols.events import ProtocolError
from flowmate_airflow.runtimes.base import OutputLimitExceeded
from flowmate_airflow.runtimes.lines import show_size

_BLOCK = 256 * 1024


def lines_of(
    raw: IO[bytes], *, gzipped: bool, limit: int, name: str, spend: Callable[[int], object]
) -> Iterator[bytes]:
    """Yield the lines of a file without their newlines, and without empty ones.

    :param limit: bytes of the longest line
    :param name: the file's name, for errors
    :param spend: told the bytes of each line, also of an empty one; it may raise
    :raises OutputLimitExceeded: a line is longer
    :raises ProtocolError: the file is not compressed as it should be, or breaks off
    """
    source = cast("Any", gzip.GzipFile(fileobj=raw, mode="rb") if gzipped else raw)
    file = BufferedReader(source, _BLOCK) if gzipped else source
    try:
        while line := file.readline(limit + 1):
            if len(line) > limit:
                raise OutputLimitExceeded(f"the component's file {name} has a line of more than {show_size(limit)}")
            spend(len(line))
            if line := line.strip():
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise ProtocolError(f"the component's file {name} cannot be read: {error}") from None
