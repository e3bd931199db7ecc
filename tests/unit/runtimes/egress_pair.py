"""Two ends of a tunnel in one process, for tests of what goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flowmate_airflow.runtimes.egress.tunnel import Channel, Tunnel


class Pair:
    """A tunnel's two ends, of which `near` opens connections and `far` is told of them.

    :param opened: what the far end does with a connection
    """

    def __init__(self, opened: Callable[[Channel], None], limit: int = 8) -> None:
        self.frames: list[bytes] = []
        self.near = Tunnel(self._to_far, None, 0)
        self.far = Tunnel(self._to_near, opened, limit)

    async def _to_far(self, data: bytes) -> None:
        self.frames.append(data)
        await self.far.feed(data)

    async def _to_near(self, data: bytes) -> None:
        await self.near.feed(data)


async def all_of(channel: Channel) -> bytes:
    """Return what comes until the end, and `RESET` where it breaks."""
    found = b""
    try:
        while chunk := await channel.read():
            found += chunk
    except ConnectionResetError:
        return found + b"RESET"
    return found


def run(main: Callable[[], object]) -> None:
    """Run a test's coroutine, which must not take a minute."""
    asyncio.run(asyncio.wait_for(main(), 60))  # type: ignore[arg-type]
