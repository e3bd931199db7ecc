"""The functions of the connector: one trigger that reads, four actions that write."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from flowmate_connector import Connector, Context, Message

from .client import Client
from .identity import Identity
from .paging import pages
from .placeholders import fill
from .settings import ABSENT, Settings

connector = Connector("http")


@connector.trigger("get")
def get(ctx: Context) -> Iterator[Any]:
    """Read records from a JSON API, page by page."""
    client = _client(ctx)
    done = 0
    for number, records in enumerate(pages(client, client.settings, ctx), start=1):
        # Not the bare records: null is a value here, not the absence of one.
        yield from map(Message, records)
        done += len(records)
        ctx.progress(done, text=f"page {number}")


@connector.action("post")
def post(ctx: Context, message: Message) -> Any:
    """Send the message with POST."""
    return _send(ctx, "POST", message, message.data)


@connector.action("put")
def put(ctx: Context, message: Message) -> Any:
    """Send the message with PUT."""
    return _send(ctx, "PUT", message, message.data)


@connector.action("patch")
def patch(ctx: Context, message: Message) -> Any:
    """Send the message with PATCH."""
    return _send(ctx, "PATCH", message, message.data)


@connector.action("delete")
def delete(ctx: Context, message: Message) -> Any:
    """Send a DELETE; it has a body only where the step says one, since many servers refuse it."""
    return _send(ctx, "DELETE", message, ABSENT)


@connector.check
def check(ctx: Context) -> str:
    """Ask the connection's address; any answer but 401 and 403 will do."""
    base_url = Identity.of(ctx.credentials).base_url
    if base_url is None:
        return "Nothing was tried: the connection has no address."
    settings = Settings.of({"url": base_url, "retries": 1})
    status = Client(settings, ctx).probe(base_url)
    return f"{base_url} answered {status}."


@lru_cache(maxsize=1)
def _client(ctx: Context) -> Client:
    # One client a run, so that all messages share its open connections.
    return Client(Settings.of(ctx.config), ctx)


def _send(ctx: Context, method: str, message: Message, default_body: Any) -> Any:
    client = _client(ctx)
    settings = client.settings
    body = default_body if settings.body is ABSENT else settings.body
    url = client.absolute(fill(settings.url, message.data))
    return message.reply(client.request(method, url, query=settings.query, body=body).content())
