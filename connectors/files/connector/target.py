"""The file being written: whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from flowmate_connector import ConfigError

from .paths import open_regular
from .settings import Settings

NEW_FILE_MODE = 0o666


class Target:
    """A context in which a file is written.

    Overwriting goes to a file beside it that takes the old one's place at the end, so that a reader never
    sees half of it. Appending cuts off again what a failed run has added.

    :param real: the resolved path
    """

    def __init__(self, real: Path, settings: Settings) -> None:
        self.real = real
        self._settings = settings
        self.appends = settings.mode == "append" and real.exists() and real.stat().st_size > 0
        self._temporary: Path | None = None
        self._start = 0
        self._raw: BinaryIO
        self._out: BinaryIO | gzip.GzipFile
        self._done = False

    def __enter__(self) -> Target:
        """Open the file.

        :raises ConfigError: it cannot be written
        """
        try:
            self.real.parent.mkdir(parents=True, exist_ok=True)
            if self.real.exists() and not self.real.is_file():
                raise ConfigError(f"{self._settings.path!r} is no regular file")
            self._raw = self._open_to_append() if self.appends else self._open_beside()
        except OSError as error:
            raise ConfigError(f"{self._settings.path!r} cannot be written: {error.strerror}") from None
        self._out = self._raw
        if self._settings.gzip:
            # No name and no time inside: the same records make the same file.
            self._out = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0)
        return self

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self._out.write(data)

    def read_existing(self) -> BinaryIO:
        """Open what is there already, to read, when the target appends."""
        file = open_regular(self.real, self._settings.path)
        return gzip.open(file, "rb") if self._settings.gzip else file  # type: ignore[return-value]

    def commit(self) -> int:
        """Make it last and return how many bytes the file has got."""
        if self._out is not self._raw:
            self._out.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        size = os.fstat(self._raw.fileno()).st_size - self._start
        self._raw.close()
        if self._temporary is not None:
            self._temporary.replace(self.real)
            _sync_folder(self.real.parent)
        self._done = True
        return size

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._done:
            return
        with contextlib.suppress(OSError):
            self._raw.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
        elif self.appends:
            os.truncate(self.real, self._start)

    def _open_beside(self) -> BinaryIO:
        fd, name = tempfile.mkstemp(prefix=f".{self.real.name[:100]}.", suffix=".tmp", dir=self.real.parent)
        self._temporary = Path(name)
        os.fchmod(fd, self._mode())
        return os.fdopen(fd, "wb")

    def _open_to_append(self) -> BinaryIO:
        fd = os.open(self.real, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        file = os.fdopen(fd, "ab")
        # Two runs that append at once would cut off each other's records.
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._start = os.fstat(fd).st_size
        return file

    def _mode(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return stat.S_IMODE(self.real.stat().st_mode)
        mask = os.umask(0)
        os.umask(mask)
        return NEW_FILE_MODE & ~mask


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
