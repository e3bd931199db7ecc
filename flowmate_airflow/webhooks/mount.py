"""Where the receiver runs: mounted in Airflow's API server, or alone. It is made when the first request comes."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowmate_airflow.net.prefix import put_prefix_back
from flowmate_airflow.webhooks.shortcut import take_shortcut

if TYPE_CHECKING:
    from flowmate_airflow.webhooks.answers import Receive, Scope, Send
    from flowmate_airflow.webhooks.receiver import Receiver

log = logging.getLogger(__name__)

BATCHES = "flowmate/batches"
_COLLECT = (50_000, 20, 20)
"""How many new objects there are before Python looks for garbage; a request makes some hundred."""


def configured_receiver() -> Receiver:
    """Return the receiver of Airflow's endpoints and the configured store. Neither is asked anything yet."""
    from flowmate_airflow.settings import SettingError, folder_setting, setting
    from flowmate_airflow.store.store import open_store
    from flowmate_airflow.webhooks.addresses import PATH, public_url
    from flowmate_airflow.webhooks.directory import Directory
    from flowmate_airflow.webhooks.inbox import Inbox
    from flowmate_airflow.webhooks.receiver import Receiver

    try:
        address = f"{public_url()}{PATH}"
    except SettingError as error:
        log.warning("senders that sign their address are refused: %s", error)
        address = ""
    files = setting("batch_url") or str(folder_setting("batch_url", BATCHES))
    return Receiver(Directory(), Inbox(open_store, files), address)


class Mounted:
    """An ASGI app that becomes the receiver with the first request, so that whoever mounts it starts without waiting.

    :param path: where it is mounted
    :param make: returns the receiver; called in a thread
    """

    def __init__(self, path: str, make: Callable[[], Receiver] = configured_receiver) -> None:
        self._path = path
        self._make = make
        self._receiver: Receiver | None = None
        self._making: asyncio.Future[Receiver] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            put_prefix_back(scope, self._path)
        receiver = self._receiver or await self._made(scope.get("app"))
        if receiver is not None:
            await receiver(scope, receive, send)
        elif scope["type"] == "http":
            from flowmate_airflow.webhooks.answers import later

            # Whoever logs the address shall see no token in it.
            scope["path"], scope["query_string"] = f"{scope.get('root_path', '')}/***", b""
            scope["raw_path"] = scope["path"].encode()
            await later(5, closes=True).send(send)

    async def close(self) -> None:
        """Wait for what the receiver still has to store."""
        if self._receiver is not None:
            await self._receiver.close()
            self._receiver = None

    async def _made(self, host: Any) -> Receiver | None:
        if self._making is None:
            self._making = asyncio.get_running_loop().run_in_executor(None, self._make)
        making = self._making
        try:
            self._receiver = await asyncio.shield(making)
        except Exception as error:
            log.error("webhooks cannot be received: %s: %s", type(error).__name__, error)
        else:
            take_shortcut(host, self._path, self)
        finally:
            if making.done():
                self._making = None
        return self._receiver


class Alone:
    """The receiver as an app of its own, at the same path as in the API server, so that a proxy may choose.

    :param receiver: also made when first needed
    """

    def __init__(self, receiver: Receiver) -> None:
        from flowmate_airflow.webhooks.addresses import PATH

        self._receiver = receiver
        self._path = PATH.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or tell that there is nothing else here."""
        if scope["type"] == "http":
            if not scope["path"].startswith(f"{self._path}/"):
                from flowmate_airflow.webhooks.answers import answer

                await answer(404, headers=(("connection", "close"),)).send(send)
                return
            scope["root_path"] = self._path
        await self._receiver(scope, receive, send)


def alone() -> Alone:
    """Return the app that `flowmate webhooks serve` starts in each of its processes."""
    import airflow.models.asset
    import airflow.models.dag  # noqa: F401  what the directory needs is there before the first request

    app = Alone(configured_receiver())
    # All of Airflow is in memory now and stays there: looking through it for garbage again and again made one answer
    # in a hundred twice as slow.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
    return app
