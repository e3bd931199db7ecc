"""A job's files on their way into a container and back: tar archives, as the engine's API wants them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from flowmate_airflow.runtimes.base import OutputLimitExceeded, RuntimeFailure
from flowmate_airflow.runtimes.lines import show_size

_MARGIN = 64 * 1024
"""Bytes of headers and padding around one file in an archive."""


def pack(folder: str, files: Mapping[str, bytes]) -> bytes:
    """Return an archive, to be unpacked at the root, of a folder with some files.

    Every user may write them: the container has but one, whose number only the image knows.
    """
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        top = tarfile.TarInfo(folder.strip("/"))
        top.type, top.mode = tarfile.DIRTYPE, 0o777
        archive.addfile(top)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{top.name}/{name}")
            entry.size, entry.mode = len(content), 0o666
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


@contextmanager
def open_one(chunks: Iterable[bytes], name: str) -> Iterator[IO[bytes]]:
    """Give the one file of an archive, to be read once, without having all of it in memory.

    :raises RuntimeFailure: it is no archive, or holds something else than a file
    """
    try:
        with tarfile.open(fileobj=_Chunks(chunks), mode="r|") as archive:
            entry = archive.next()
            content = archive.extractfile(entry) if entry is not None and entry.isfile() else None
            if content is None:
                raise RuntimeFailure(f"the component's file {name} is no file", retry=False)
            yield content
    except tarfile.TarError as error:
        raise RuntimeFailure(f"the component's file {name} cannot be read: {error}", retry=True) from None


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """Return as much as is asked for, less only at the end."""
        parts, missing = [], size
        while missing:
            if not self._rest:
                self._rest = next(self._chunks, b"")
                if not self._rest:
                    break
            part, self._rest = self._rest[:missing], self._rest[missing:]
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def unpack_one(chunks: Iterable[bytes], name: str, limit: int) -> bytes | None:
    """Return the content of the one file of an archive; None when it holds something else than a file.

    :param limit: the largest file, in bytes
    :raises OutputLimitExceeded: it is larger
    :raises RuntimeFailure: it is no archive
    """
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > limit + _MARGIN:
            raise OutputLimitExceeded(f"the component's file {name} is larger than {show_size(limit)}")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            entry = archive.next()
            content = archive.extractfile(entry) if entry is not None and entry.isfile() else None
            return None if content is None else content.read()
    except tarfile.TarError as error:
        raise RuntimeFailure(f"the component's file {name} cannot be read: {error}", retry=True) from None
