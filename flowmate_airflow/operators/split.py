"""The operator that cuts a step's input into batches, each for a container of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from airflow.configuration import conf
from airflow.sdk import BaseOperator

from flowmate_airflow.batches.batch import BatchValue, BatchWriter, decoded
from flowmate_airflow.batches.message import stream_in_line
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.operators.step import airflow_failures, batch_parts, batch_url, empty_in_replay, step_input
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.settings import int_setting


class SplitOperator(BaseOperator):
    """Cut the messages of some steps into batches.

    :param inputs: the task ids whose messages it gets, in this order
    :param size: messages of a batch; more when there would be more batches than Airflow maps
    :param when: JSONata; messages for which it is not true are left out
    """

    template_fields: Sequence[str] = ()
    ui_color = "#f0f0f0"

    def __init__(self, *, inputs: Sequence[str], size: int, when: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inputs = list(inputs)
        self.size = size
        self.when = when

    def execute(self, context: Any) -> list[BatchValue]:
        """Return the batches' values."""
        task_instance = context["ti"]
        values: list[BatchValue] = []
        with airflow_failures(None):
            empty = empty_in_replay(context, self.inputs)
            if empty is not None:
                return [empty]
            source = step_input(context, self.inputs, self.when)
            size = self._size(sum(1 for _ in source.read()))
            limit = int_setting("inline_limit")
            lines = source.read()
            while (first := next(lines, None)) is not None:
                parts = (*batch_parts(context), str(len(values)))
                writer = BatchWriter(Storage(batch_url(), parts, task_instance.try_number), limit)
                value = _write(writer, chain([first], islice(lines, size - 1)), source.streams)
                if "messages" in value:
                    limit = max(0, limit - value["bytes"])  # all of them are one value
                elif values:
                    value.pop("preview", None)
                values.append(value)
        self.log.info("%s batches of up to %s messages", f"{len(values):,}", f"{size:,}")
        return values

    def _size(self, count: int) -> int:
        most = conf.getint("core", "max_map_length", fallback=1024)
        least = -(-count // most)
        if least > self.size:
            self.log.warning(
                "%s messages in batches of %s would be more than the %s batches of [core] max_map_length; "
                "they get %s messages each",
                f"{count:,}",
                f"{self.size:,}",
                f"{most:,}",
                f"{least:,}",
            )
        return max(self.size, least)


def _write(writer: BatchWriter, lines: Iterator[bytes], streams: Sequence[Stream]) -> BatchValue:
    for stream in streams:
        writer.declare(stream)
    for line in lines:
        writer.write(decoded(line), line)
        name = stream_in_line(line)
        if name is not None:
            writer.count_stream(name)
    return writer.finish()
