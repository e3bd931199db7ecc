"""Serving, in the worker, what the helper beside a step's container passes on."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from contextlib import suppress
from typing import Protocol

from flowmate_airflow.runtimes.base import Log, RuntimeFailure
from flowmate_airflow.runtimes.egress.proxy import MAX_CONNECTIONS, Proxy
from flowmate_airflow.runtimes.egress.rules import Egress
from flowmate_airflow.runtimes.egress.tunnel import READY, Channel, Tunnel, TunnelError
from flowmate_airflow.runtimes.frames import Frames

START_SECONDS = 60.0
"""For the helper to listen, once its container has started."""
_JOIN_SECONDS = 5.0
_POLL_SECONDS = 1.0
_MAX_STDERR = 4096


class Streams(Protocol):
    """The helper's standard streams."""

    def receive(self) -> bytes: ...
    def send(self, data: bytes) -> None: ...
    def abort(self) -> None: ...


class WayOut:
    """Serves what a helper passes on, in threads of its own, until it is closed.

    :param log: where refused hosts are told, and a helper that ends
    """

    def __init__(self, streams: Streams, egress: Egress, log: Log) -> None:
        self._streams = streams
        self._log = log
        self._proxy = Proxy(egress, log)
        self._loop = asyncio.new_event_loop()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="flowmate-egress-send")
        self._sending = asyncio.Lock()
        self._tunnel = Tunnel(self._send, self._opened, MAX_CONNECTIONS)
        self._serving: set[asyncio.Task[None]] = set()
        self._is_ready = threading.Event()
        self._listens = False
        self._closing = False
        self._stderr = b""
        self._threads = [
            threading.Thread(target=target, name=f"flowmate-egress-{name}", daemon=True)
            for name, target in (("serve", self._run), ("receive", self._receive))
        ]

    def start(self) -> None:
        """Start serving; call :meth:`wait` before something is to be reached."""
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Wait until the helper listens.

        :raises RuntimeFailure: it does not
        """
        if self._is_ready.wait(seconds) and self._listens:
            return
        text = self._stderr.decode(errors="backslashreplace").strip().splitlines()
        why = text[-1][:300] if text else "it says nothing"
        raise RuntimeFailure(
            f"the helper that lets the step reach its manifest's hosts does not listen ({why}); its image needs "
            "`python3` (`[flowmate] egress_image`)",
            retry=not text,
        )

    def close(self) -> None:
        """End all connections. Safe twice."""
        if self._closing:
            return
        self._closing = True
        self._streams.abort()
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(_JOIN_SECONDS)
        self._sender.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._end_all())
        finally:
            self._loop.close()

    async def _end_all(self) -> None:
        self._tunnel.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _receive(self) -> None:
        try:
            self._take_all()
        except (OSError, RuntimeFailure, TunnelError, RuntimeError, CancelledError) as error:
            if not self._closing:
                self._log.warning("the step's way out broke: %s; it reaches nothing any more", error)
        else:
            if not self._closing and self._listens:
                self._log.warning("the step's way out has ended before it; it reaches nothing any more")
        finally:
            self._is_ready.set()
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._tunnel.close)

    def _take_all(self) -> None:
        frames, waiting = Frames(), b""
        while chunk := self._streams.receive():
            for stream, data in frames.feed(chunk):
                if stream == "stderr":
                    self._stderr = (self._stderr + data)[-_MAX_STDERR:]
                    continue
                if not self._listens:
                    waiting += data
                    if not waiting.startswith(READY[: len(waiting)]):
                        raise TunnelError("the helper does not speak as it should")
                    if len(waiting) < len(READY):
                        continue
                    data = waiting[len(READY) :]
                    self._listens = True
                    self._is_ready.set()
                self._feed(data)

    def _feed(self, data: bytes) -> None:
        if not data:
            return
        # Waited for, so that what a helper sends faster than it is taken stays in its pipe.
        fed = asyncio.run_coroutine_threadsafe(self._tunnel.feed(data), self._loop)
        while not self._closing:
            with suppress(LateError):
                return fed.result(_POLL_SECONDS)

    async def _send(self, data: bytes) -> None:
        async with self._sending:  # in the order in which it is asked for
            await self._loop.run_in_executor(self._sender, self._streams.send, data)

    def _opened(self, channel: Channel) -> None:
        task = self._loop.create_task(self._proxy.serve(channel))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
