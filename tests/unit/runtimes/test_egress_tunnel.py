"""Many connections over one pair of pipes: slow readers, ends, breaks, and a side that keeps to no rule."""

from __future__ import annotations

import asyncio
import struct

import pytest
from egress_pair import Pair, all_of, run

from flowmate_airflow.runtimes.egress.tunnel import (
    CHUNK,
    CREDIT,
    DATA,
    END,
    HEADER,
    OPEN,
    RESET,
    WINDOW,
    Channel,
    Tunnel,
    TunnelError,
)


def _frame(number: int, kind: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(number, kind, len(payload)) + payload


def test_what_is_sent_arrives_in_order_with_its_end() -> None:
    async def main() -> None:
        found: list[Channel] = []
        pair = Pair(found.append)
        near = await pair.near.open(b"a:1")
        sent = bytes(range(256)) * 4096  # four windows
        got, _ = await asyncio.gather(all_of(found[0]), _send(near, sent))
        assert (found[0].target, got) == (b"a:1", sent)
        await found[0].write(b"answer")  # after the end of the other direction
        await found[0].end()
        assert await all_of(near) == b"answer"
        for channel in (near, found[0]):
            await channel.close()
        assert all(HEADER.unpack(frame[: HEADER.size])[1] != RESET for frame in pair.frames)

    run(main)


def test_a_connection_that_nobody_reads_stops_its_sender_and_no_other() -> None:
    async def main() -> None:
        found: list[Channel] = []
        pair = Pair(found.append)
        stuck, other = await pair.near.open(b""), await pair.near.open(b"")
        sending = asyncio.ensure_future(stuck.write(b"x" * (WINDOW + 1)))
        await _send(other, b"y")
        assert await all_of(found[1]) == b"y"
        assert not sending.done()
        await found[0].read()
        await sending
        await found[0].close()
        with pytest.raises(ConnectionResetError):
            await stuck.read()
        with pytest.raises(ConnectionResetError):
            await stuck.write(b"x")

    run(main)


def test_one_connection_too_many_is_broken_off() -> None:
    async def main() -> None:
        found: list[Channel] = []
        pair = Pair(found.append, limit=2)
        opened = [await pair.near.open(b"") for _ in range(3)]
        assert len(found) == 2
        assert await all_of(opened[2]) == b"RESET"
        await found[0].close()
        await pair.near.open(b"")
        assert len(found) == 3

    run(main)


def test_frames_are_put_together_from_any_pieces() -> None:
    async def main() -> None:
        found: list[Channel] = []
        answers: list[bytes] = []

        async def answer(data: bytes) -> None:
            answers.append(data)

        tunnel = Tunnel(answer, found.append, 8)
        for byte in _frame(1, OPEN, b"a:1") + _frame(1, DATA, b"hello") + _frame(1, END):
            await tunnel.feed(bytes([byte]))
        assert await all_of(found[0]) == b"hello"
        assert answers == [], "nothing more comes, so nobody waits for room"

    run(main)


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(_frame(1, 5), id="unknown kind"),
        pytest.param(HEADER.pack(1, DATA, CHUNK + 1), id="payload too long"),
        pytest.param(_frame(1, OPEN) + _frame(1, OPEN), id="opened twice"),
        pytest.param(_frame(2, OPEN) + _frame(1, OPEN), id="number goes back"),
        pytest.param(_frame(1, OPEN, b"x" * 301), id="target too long"),
        pytest.param(_frame(1, OPEN) + _frame(1, DATA, b"x" * CHUNK) * 5, id="more than there is room for"),
        pytest.param(_frame(1, OPEN) + _frame(1, END) + _frame(1, DATA, b"x"), id="more after the end"),
        pytest.param(_frame(1, OPEN) + _frame(1, CREDIT, struct.pack(">I", 1)), id="credit for nothing"),
        pytest.param(_frame(1, OPEN) + _frame(1, CREDIT, b"x"), id="credit without a number"),
    ],
)
def test_who_keeps_to_no_rule_is_cut_off(frames: bytes) -> None:
    async def main() -> None:
        async def ignore(data: bytes) -> None:
            pass

        with pytest.raises(TunnelError):
            await Tunnel(ignore, lambda channel: None, 8).feed(frames)

    run(main)


def test_the_worker_opens_no_connection_to_the_helper() -> None:
    async def main() -> None:
        async def ignore(data: bytes) -> None:
            pass

        with pytest.raises(TunnelError):
            await Tunnel(ignore, None, 0).feed(_frame(1, OPEN))

    run(main)


async def _send(channel: Channel, data: bytes) -> None:
    await channel.write(data)
    await channel.end()
