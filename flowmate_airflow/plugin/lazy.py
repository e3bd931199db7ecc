"""An app that is made with the first request, so that whoever mounts it starts without waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)


class Lazy:
    """An ASGI app that becomes another one.

    :param make: returns it; called in a thread
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._made: ASGIApp | None = None
        self._making: asyncio.Future[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app = self._made or await self._first()
        await app(scope, receive, send)

    async def _first(self) -> ASGIApp:
        if self._making is None:
            self._making = asyncio.get_running_loop().run_in_executor(None, self._make)
        making = self._making
        try:
            self._made = await asyncio.shield(making)
        finally:
            if making.done():
                self._making = None
        return self._made
