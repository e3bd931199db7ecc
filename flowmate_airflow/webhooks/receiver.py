"""The receiver: the ASGI app that webhooks are posted to.

verify, store, acknowledge: nothing is acknowledged that is not committed, and nobody who has no proof learns more than
that he has none. It is mounted in Airflow's API server, and `flowmate webhooks serve` runs it alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from flowmate_airflow.auth.names import TENANT
from flowmate_airflow.webhooks.answers import (
    DENIED,
    FAILED,
    Answer,
    Receive,
    Refused,
    Scope,
    Send,
    answer,
    explained,
    later,
    of_reply,
)
from flowmate_airflow.webhooks.arrivals import Arrival, deliveries_of
from flowmate_airflow.webhooks.bodies import BodyError
from flowmate_airflow.webhooks.callers import Callers
from flowmate_airflow.webhooks.endpoints import NAME
from flowmate_airflow.webhooks.held import NotKnown
from flowmate_airflow.webhooks.housekeeping import keep_house
from flowmate_airflow.webhooks.incoming import Bounds, Gone, Intake, check_size, read_headers
from flowmate_airflow.webhooks.known import Known
from flowmate_airflow.webhooks.limits import Buckets
from flowmate_airflow.webhooks.proofs import NoKey
from flowmate_airflow.webhooks.requests import HookRequest, Rejected, Reply, Verified
from flowmate_airflow.webhooks.schemes import dummy_work, handshake, verify
from flowmate_airflow.webhooks.side import SideWork
from flowmate_airflow.webhooks.targets import NOBODY, Target
from flowmate_airflow.webhooks.waking import Waking
from flowmate_airflow.webhooks.writer import StoreDown, Writer

if TYPE_CHECKING:
    from flowmate_airflow.webhooks.held import Source
    from flowmate_airflow.webhooks.inbox import Inbox

log = logging.getLogger(__name__)
T = TypeVar("T")

METHODS = ("POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS")
_ALLOWED = ("allow", ", ".join(METHODS))
"""Of all schemes together: what an endpoint takes is told to nobody without a proof."""
HANDSHAKES_A_MINUTE = 600
DENIED_STEP = 0.05
"""Whoever is denied is answered after a multiple of so many seconds: the time tells nothing, either."""
_NAME = re.compile(NAME)
_TENANT = re.compile(TENANT)
_MAX_TOKEN = 200
_THREADS = 4
_AT_ONCE = 256 * 1024
"""Bytes of a body that no other request has to wait for."""


@dataclass(frozen=True, slots=True)
class _Address:
    """Where a request went: an endpoint's name, perhaps a tenant and a token, and the public URL of it."""

    name: str
    tenant: str
    token: str | None
    url: str


class Receiver:
    """The ASGI app.

    :param source: is asked for endpoints and secrets, :class:`flowmate_airflow.webhooks.directory.Directory`
    :param inbox: the store, as far as it is needed
    :param address: where senders reach this app; some sign the address that they were given
    """

    def __init__(self, source: Source, inbox: Inbox, address: str, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._source = source
        self._inbox = inbox
        self._url = address.rstrip("/")
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="flowmate-webhooks")
        self._writer = Writer(inbox.insert)
        self._known = Known(source, inbox.tokens, inbox.registered, self._pool)
        self._callers = Callers(inbox.replies, self._pool)
        self._side = SideWork(inbox, self._pool)
        self._waking = Waking(inbox.first_waiting, source.wake, self._pool)
        self._intake = Intake(self._bounds)
        self._buckets = Buckets()
        self._requests = 0
        self._keeping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            with suppress(Gone):
                found = await self._answer(scope, receive)
                await found.send(send)
        else:  # a websocket
            await send({"type": "websocket.close"})

    def start(self) -> None:
        """Begin to read what is to be known, before the first request, and to remove what is old."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        house = keep_house(self._inbox, self._source, self._known.endpoints, self._pool)
        await asyncio.gather(self._known.keep_fresh(), house)

    async def close(self) -> None:
        """Wait for what is to be stored, and end."""
        if self._keeping is not None:
            self._keeping.cancel()
        await self._writer.close()
        await self._waking.close()
        await self._side.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            event = (await receive())["type"]
            if event == "lifespan.startup":
                self.start()
            else:
                await self.close()
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        self.start()
        address = self._address(scope)
        if self._requests >= self._bounds.requests_at_once:
            return later(1, closes=True)
        self._requests += 1
        try:
            return await self._received(address, scope, receive)
        except Refused as refused:
            return refused.answer
        except BodyError as error:
            return explained(error.status, str(error))
        except (StoreDown, NotKnown) as error:
            return later(getattr(error, "retry_after", 1.0))
        except (Gone, asyncio.CancelledError):
            raise
        except Exception as error:
            # Its text could hold values of the request.
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("a request to a webhook failed: %s at %s:%s", type(error).__name__, place.filename, place.lineno)
            return FAILED
        finally:
            self._requests -= 1

    async def _received(self, address: _Address, scope: Scope, receive: Receive) -> Answer:
        began = time.monotonic()
        method = scope["method"]
        if method not in METHODS:
            return answer(405, headers=(_ALLOWED, ("connection", "close")))
        headers = read_headers(scope, self._bounds)
        if self._known.is_unread():
            await self._known.first()
        target = self._let_in(address)
        body = await self._intake.body(headers, receive, self._known.max_body)
        request = HookRequest(method, address.url, headers, body)
        try:
            try:
                return await self._judged(target, request)
            except Rejected:
                if await self._known.reread(target):
                    target = self._let_in(address)  # something may just have changed
                    return await self._judged(target, request)
                raise
        except Rejected as rejected:
            return await self._denied(target, rejected, began)

    def _address(self, scope: Scope) -> _Address:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        parts = path.strip("/").split("/")
        tenant = parts[1] if len(parts) == 3 else ""
        is_address = len(parts) <= 2 or _TENANT.fullmatch(tenant)
        name = parts[0] if is_address and _NAME.fullmatch(parts[0]) else ""
        token = parts[-1] if len(parts) > 1 else None
        query = scope["query_string"].decode("latin-1")
        url = f"{self._url}{path}?{query}" if query else f"{self._url}{path}"
        # Servers and middlewares log an address when it has been answered: they shall see no secret in it.
        if len(parts) > 1:
            scope["path"] = f"{root}/{name}/***"
            scope["raw_path"] = scope["path"].encode()
        if query:
            scope["query_string"] = b"***"
        return _Address(name, tenant, token, url)

    def _let_in(self, address: _Address) -> Target | None:
        """Return the endpoint of an address; None where it is none, or its token is wrong or missing."""
        target = self._known.target(address.name)
        is_right = address.token is None
        if address.token is not None:
            is_right = self._known.has_token(address.name, address.tenant, address.token[:_MAX_TOKEN])
        if target is None or not is_right or target.endpoint.tenants != bool(address.tenant):
            return None
        if target.scheme.needs_url_token and address.token is None:
            return None
        return target.of(address.tenant) if address.tenant else target

    async def _judged(self, target: Target | None, request: HookRequest) -> Answer:
        """Answer a request that has come wholly.

        :raises Rejected: it is not let in
        """
        known = target or NOBODY
        secrets = self._known.secrets_now(known)
        if secrets is None:
            secrets = await self._known.secrets(known)
        reply = await self._checked(known, handshake, request, secrets)
        if reply is not None:
            return self._shaken(known, reply)
        if request.method == "OPTIONS":
            return answer(204, headers=(_ALLOWED,))
        if target is None:
            # Whoever asks shall not learn by the time which endpoints there are.
            await self._worked_out(len(request.body), dummy_work, request)
            raise Rejected("there is no such endpoint, or its token is not right")
        is_question = request.method == "HEAD"
        proven = replace(request, method=known.scheme.methods[0]) if is_question else request
        verified: Verified = await self._checked(target, verify, proven, secrets)
        check_size(len(request.body), target.endpoint.max_body)
        wait = self._buckets.take(target.place, target.endpoint.rate)
        if wait:
            return later(wait, 429)
        return target.ack if is_question else await self._taken(target, request, verified)

    async def _worked_out(self, size: int, work: Callable[..., T], *values: Any) -> T:
        """Return what comes of some work, done in a thread where there is much to read.

        :param size: bytes of what is read
        """
        if size <= _AT_ONCE:
            return work(*values)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *values)

    async def _checked(self, target: Target, check: Any, request: HookRequest, secrets: tuple[str, ...]) -> Any:
        """Return what a check says, in a thread where it may wait for the network or has much to read."""
        if not target.scheme.blocks and len(request.body) <= _AT_ONCE:
            return check(target.scheme, request, secrets, time.time())
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, check, target.scheme, request, secrets, time.time())

    def _shaken(self, target: Target, reply: Reply) -> Answer:
        wait = self._buckets.take(("handshake", *target.place), HANDSHAKES_A_MINUTE)
        if wait:
            return later(wait, 429)
        if target is not NOBODY:
            if reply.learned is not None:
                self._side.learn(target.place, reply.learned)
            if reply.confirm_url is not None:
                self._side.confirm(target.place, reply.confirm_url)
        return of_reply(reply)

    async def _taken(self, target: Target, request: HookRequest, verified: Verified) -> Answer:
        """Store what a request brings, and acknowledge it."""
        reply_within = target.endpoint.reply
        if reply_within is not None and self._callers.is_full:
            return later(1)
        query = request.url.partition("?")[2]
        moment = datetime.now(timezone.utc)
        arrival = Arrival(target, verified, request.method, query, request.headers, request.body, moment)
        deliveries = await self._worked_out(len(request.body), deliveries_of, arrival)
        if not deliveries:  # an empty batch
            return target.ack
        try:
            stored = await self._writer.put(deliveries)
        except StoreDown as down:
            if down.is_theirs:
                self._side.reject(target.place, str(down))
            raise
        new = [each.id for each in stored if not each.is_duplicate]
        if new and not target.endpoint.debounce:
            self._waking.stored(*target.place, new)
        if reply_within is None:
            return target.ack
        return await self._replied(stored[0].id, reply_within)

    async def _replied(self, delivery: int, seconds: float) -> Answer:
        reply = await self._callers.wait(delivery, seconds)
        if reply is not None:
            return answer(reply.status, reply.body, reply.content_type)
        text = b'{"delivery":%d,"message":"accepted; the answer was not ready in time"}' % delivery
        return answer(202, text, "application/json")

    async def _denied(self, target: Target | None, rejected: Rejected, began: float) -> Answer:
        if target is not None:
            self._side.reject(target.place, self._reason(target, rejected))
        spent = time.monotonic() - began
        await asyncio.sleep(DENIED_STEP - spent % DENIED_STEP)
        return DENIED

    def _reason(self, target: Target, rejected: Rejected) -> str:
        """Return why a request was refused, as the endpoint's owner has to know it."""
        if not isinstance(rejected, NoKey):
            return rejected.reason
        held = f"the Connection `{target.endpoint.connection}` holds no secret of the scheme {target.scheme.name}"
        return f"nobody is let in: {self._known.trouble(target) or held}"
