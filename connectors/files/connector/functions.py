"""The functions of the connector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowmate_connector import ConfigError, Connector, Context, Message

from .paths import open_regular, resolve, root_folder
from .readers import read_records
from .settings import Settings
from .target import Target
from .writers import BadRecord, make_writer

PROGRESS_RECORDS = 1000

connector = Connector("files")


@connector.trigger("read")
def read(ctx: Context) -> Iterator[Any]:
    """Read the records of a file."""
    settings = Settings.of(ctx.config)
    done = 0
    with open_regular(resolve(settings.path), settings.path) as file:
        for record in read_records(file, settings):
            # Not the bare record: null is a value here, not the absence of one.
            yield Message(record)
            done += 1
            if done % PROGRESS_RECORDS == 0:
                ctx.progress(done, text=settings.path)
    ctx.progress(done, text=settings.path)


@connector.action("write", batch=True)
def write(ctx: Context, messages: Iterator[Message]) -> Iterator[Any]:
    """Write the data of all messages into one file."""
    settings = Settings.of(ctx.config)
    done = 0
    with Target(resolve(settings.path), settings) as target:
        writer = make_writer(target, settings)
        for message in messages:
            try:
                writer.write(message.data)
            except BadRecord as error:
                ctx.error(message, str(error), "config")
                continue
            done += 1
            if done % PROGRESS_RECORDS == 0:
                ctx.progress(done, text=settings.path)
        writer.finish()
        size = target.commit()
    ctx.progress(done, text=settings.path)
    yield {"path": settings.path, "records": done, "bytes": size}


@connector.check
def check(_ctx: Context) -> str:
    """See whether the folder of the files is there."""
    root = root_folder()
    if not root.is_dir():
        raise ConfigError(f"the folder {root}, below which files are read and written, does not exist")
    return f"Files are read and written below {root}."
