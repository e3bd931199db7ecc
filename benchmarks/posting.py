"""The sender of the webhooks' benchmark: `python -m benchmarks.posting PLAN`, in a process of its own.

PLAN is a file of JSON, a :class:`Load`. All requests are made before the first is sent. It prints what came of them as
JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BODY_BYTES = 2048
SECRET = "It's a Secret to Everybody"


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent where.

    :param host: of the receiver
    :param path: of the endpoint
    :param count: how many deliveries
    :param connections: that are kept open, each with one request at a time
    :param warm: how many of them come first and do not count
    """

    host: str
    port: int
    path: str
    count: int
    connections: int = 64
    warm: int = 200


@dataclass(slots=True)
class Tally:
    """What came of it."""

    spent: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    failed: int = 0


def request(load: Load, number: int) -> bytes:
    """Return a delivery as GitHub sends it, signed, with an id and a body that no other has."""
    name = str(uuid.UUID(int=number | uuid.uuid4().int >> 64 << 64))
    filler = "x" * (BODY_BYTES - 80)
    body = json.dumps({"delivery": name, "number": number, "text": filler}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    lines = [
        f"POST {load.path} HTTP/1.1",
        f"Host: {load.host}:{load.port}",
        "User-Agent: GitHub-Hookshot/044aadd",
        "Accept: */*",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "X-GitHub-Event: push",
        f"X-GitHub-Delivery: {name}",
        "X-GitHub-Hook-ID: 292430182",
        f"X-Hub-Signature-256: sha256={signature}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Sender(asyncio.Protocol):
    """One connection: sends a request when the answer to the one before is there."""

    def __init__(self, requests: Iterator[bytes], tally: Tally, done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._tally = tally
        self._done = done
        self._began = 0.0
        self._answer = b""

    def connection_made(self, transport: Any) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head) or (b"chunked" in head and not body.endswith(b"0\r\n\r\n")):
            return
        self._tally.spent.append(time.perf_counter() - self._began)
        self._tally.statuses[int(head[9:12])] += 1
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        if not self._done.done():
            self._tally.failed += 1
            self._done.set_result(None)

    def _next(self) -> None:
        following = next(self._requests, None)
        if following is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(following)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def send(load: Load, requests: list[bytes]) -> tuple[float, Tally]:
    """Send requests, and return the seconds that took and what came of them."""
    loop = asyncio.get_running_loop()
    tally, waiting = Tally(), iter(requests)
    done = [loop.create_future() for _ in range(load.connections)]
    began = time.perf_counter()
    for each in done:
        await loop.create_connection(lambda each=each: Sender(waiting, tally, each), load.host, load.port)  # type: ignore[misc]
    await asyncio.gather(*done)
    return time.perf_counter() - began, tally


async def measure(load: Load) -> dict[str, Any]:
    """Return what the deliveries cost."""
    requests = [request(load, number) for number in range(load.count + load.warm)]
    await send(load, requests[: load.warm])
    seconds, tally = await send(load, requests[load.warm :])
    cuts = statistics.quantiles(tally.spent, n=100)
    accepted = sum(count for status, count in tally.statuses.items() if 200 <= status < 300)
    return {
        "seconds": seconds,
        "accepted": accepted,
        "a_second": accepted / seconds,
        "p50": cuts[49],
        "p99": cuts[98],
        "statuses": tally.statuses,
        "failed": tally.failed,
    }


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.install()
    except ImportError:
        pass
    print(json.dumps(asyncio.run(measure(Load(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))))
