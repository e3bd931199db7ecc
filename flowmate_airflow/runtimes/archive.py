"""A job's files on their way into a container and back: tar archives, as the engine's API wants them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping

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
