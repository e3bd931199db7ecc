"""Where files may lie: below one folder and nowhere else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from flowmate_connector import ConfigError

ROOT_VARIABLE = "FLOWMATE_FILES_ROOT"
DEFAULT_ROOT = "/data"


def root_folder() -> Path:
    """Return the folder below which files are read and written."""
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)


def resolve(path: str) -> Path:
    """Return the real path of a step's `path`, which is relative to the root folder.

    :raises ConfigError: it leads out of the root folder, be it by `..` or by a symbolic link
    """
    try:
        root = root_folder().resolve(strict=True)
    except OSError:
        raise ConfigError(
            f"the folder {root_folder()}, below which files are read and written, does not exist"
        ) from None
    try:
        real = (root / path).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{path!r} is no usable path: {error}") from None
    if real == root or not real.is_relative_to(root):
        raise ConfigError(f"{path!r} leads out of the folder for files ({root_folder()})")
    return real


def open_regular(real: Path, shown: str) -> BinaryIO:
    """Open a file to read.

    :param shown: the path as the step says it, for errors
    :raises ConfigError: there is no such file, or it cannot be read
    """
    try:
        # The path is resolved, so a link would be one made since. Not to block: it may be a pipe.
        fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(fd, "rb")
    except FileNotFoundError:
        raise ConfigError(f"there is no file {shown!r} in {root_folder()}") from None
    except IsADirectoryError:
        raise ConfigError(f"{shown!r} is a folder, not a file") from None
    except OSError as error:
        raise ConfigError(f"{shown!r} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ConfigError(f"{shown!r} is no regular file")
    return file
