"""The feeder: order, back-pressure, and every way in which feeding can end."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from flowmate_airflow.runtimes.feeder import Feeder

PATIENCE = 60


class Stdin:
    """Records what is written; `gate` holds the writer up."""

    def __init__(self, *, gate: threading.Event | None = None, broken: bool = False) -> None:
        self.blocks: list[bytes] = []
        self.gate = gate
        self.broken = broken
        self.begun = threading.Event()
        self.written = threading.Event()
        self.closed = threading.Event()
        self.failed = threading.Event()
        self.closed_when_failed = False

    def write(self, block: bytes) -> None:
        if self.broken:
            raise BrokenPipeError
        self.begun.set()
        if self.gate:
            assert self.gate.wait(PATIENCE)
        self.blocks.append(block)
        self.written.set()

    def fail(self) -> None:
        self.closed_when_failed = self.closed.is_set()
        self.failed.set()

    def feeder(self, feed: Iterable[bytes], *, keep: bool = False) -> Feeder:
        feeder = Feeder(feed, write=self.write, close=self.closed.set, failed=self.fail, keep=keep)
        feeder.start()
        return feeder


def test_all_lines_arrive_in_order_and_stdin_is_closed() -> None:
    stdin = Stdin()
    lines = [b"%d\n" % number for number in range(10_000)]
    feeder = stdin.feeder(lines)
    assert stdin.closed.wait(PATIENCE)
    assert feeder.join(PATIENCE)
    assert b"".join(stdin.blocks) == b"".join(lines)


def test_a_busy_component_holds_the_feed_up() -> None:
    gate, full = threading.Event(), threading.Event()
    stdin = Stdin(gate=gate)
    taken = 0

    def feed() -> Iterator[bytes]:
        nonlocal taken
        for taken in range(1, 101):
            if taken == 4:  # one block in the writer's hands, what may wait, and the one that found no room
                full.set()
            yield b"x" * 200_000

    feeder = stdin.feeder(feed())
    assert full.wait(PATIENCE)
    assert taken <= 6
    gate.set()
    assert stdin.closed.wait(PATIENCE)
    assert feeder.join(PATIENCE)
    assert sum(map(len, stdin.blocks)) == 100 * 200_000


def test_a_line_is_written_while_the_feed_waits_for_its_next() -> None:
    go_on, stdin = threading.Event(), Stdin()

    def feed() -> Iterator[bytes]:
        yield b"first\n"
        assert go_on.wait(PATIENCE)

    feeder = stdin.feeder(feed())
    assert stdin.written.wait(PATIENCE)
    assert stdin.blocks == [b"first\n"]
    assert not stdin.closed.is_set()
    go_on.set()
    assert feeder.join(PATIENCE)


def test_stopping_closes_stdin_although_the_feed_is_waiting() -> None:
    go_on, stdin = threading.Event(), Stdin()

    def feed() -> Iterator[bytes]:
        yield b"first\n"
        assert go_on.wait(PATIENCE)
        yield b"never written\n"

    feeder = stdin.feeder(feed())
    assert stdin.written.wait(PATIENCE)
    feeder.stop()
    feeder.stop()
    assert stdin.closed.wait(PATIENCE)
    assert not feeder.join(0)
    go_on.set()
    assert feeder.join(PATIENCE)
    assert stdin.blocks == [b"first\n"]


def test_a_component_that_reads_no_more_ends_the_feeding_and_the_feed_is_closed() -> None:
    stdin, feed_closed = Stdin(broken=True), threading.Event()

    def feed() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            feed_closed.set()

    feeder = stdin.feeder(feed())
    assert feed_closed.wait(PATIENCE)
    assert feeder.join(PATIENCE)
    assert feeder.error is None
    assert stdin.closed.is_set()


def test_an_error_of_the_feed_is_told_before_stdin_is_closed() -> None:
    stdin = Stdin()

    def feed() -> Iterator[bytes]:
        yield b"half of it\n"
        raise ValueError("the other half is unreadable")

    feeder = stdin.feeder(feed())
    assert stdin.failed.wait(PATIENCE)
    assert feeder.join(PATIENCE)
    assert str(feeder.error) == "the other half is unreadable"
    assert not stdin.closed_when_failed
    assert stdin.closed.is_set()


def test_stdin_that_is_kept_takes_lines_after_the_feed_has_ended() -> None:
    stdin, ended = Stdin(), threading.Event()

    def feed() -> Iterator[bytes]:
        yield b"all\n"
        ended.set()

    feeder = stdin.feeder(feed(), keep=True)
    assert ended.wait(PATIENCE)
    assert stdin.written.wait(PATIENCE)
    stdin.written.clear()
    feeder.send(b"one more\n")
    assert stdin.written.wait(PATIENCE)
    assert not stdin.closed.is_set()
    feeder.finish()
    assert stdin.closed.wait(PATIENCE)
    assert feeder.join(PATIENCE)
    assert b"".join(stdin.blocks) == b"all\none more\n"


def test_a_line_that_is_sent_goes_before_what_waits_and_breaks_no_line() -> None:
    gate, waits = threading.Event(), threading.Event()
    stdin = Stdin(gate=gate)

    def feed() -> Iterator[bytes]:
        yield b"being written\n"
        assert stdin.begun.wait(PATIENCE)
        yield b"waits\n"
        waits.set()

    feeder = stdin.feeder(feed())
    assert waits.wait(PATIENCE)
    feeder.send(b"sent\n")
    gate.set()
    assert stdin.closed.wait(PATIENCE)
    assert feeder.join(PATIENCE)
    assert b"".join(stdin.blocks) == b"being written\nsent\nwaits\n"


def test_stdin_that_is_kept_is_closed_with_what_is_left_of_the_feed() -> None:
    go_on, stdin = threading.Event(), Stdin()

    def feed() -> Iterator[bytes]:
        yield b"first\n"
        assert go_on.wait(PATIENCE)
        yield b"last\n"

    feeder = stdin.feeder(feed(), keep=True)
    feeder.finish()
    go_on.set()
    assert stdin.closed.wait(PATIENCE)
    assert feeder.join(PATIENCE)
    assert b"".join(stdin.blocks) == b"first\nlast\n"


def test_nothing_is_written_after_the_end() -> None:
    stdin = Stdin()
    feeder = stdin.feeder([b"all\n"])
    assert stdin.closed.wait(PATIENCE)
    feeder.send(b"too late\n")
    assert feeder.join(PATIENCE)
    assert stdin.blocks == [b"all\n"]


def test_a_kept_stdin_that_breaks_is_closed() -> None:
    stdin = Stdin(broken=True)
    feeder = stdin.feeder([b"all\n"], keep=True)
    assert stdin.closed.wait(PATIENCE)
    assert feeder.join(PATIENCE)
