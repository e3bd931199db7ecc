"""From one page of records to the next; never more than one page in memory."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any
from urllib.parse import urljoin

from flowmate_connector import ConfigError, Context

from .answer import Answer
from .client import Client, Refused
from .identity import shown
from .settings import Paging, Settings
from .values import MISSING, dig, keys_of

Pages = Iterator[list[Any]]


def pages(client: Client, settings: Settings, ctx: Context) -> Pages:
    """Yield the records of each page.

    :raises ConfigError: the response is not what the step's fields say
    """
    url = client.absolute(settings.url)
    paging = settings.paging
    if paging is None:
        answer = client.request("GET", url, query=settings.query)
        yield _records(answer, answer.json(), settings.records)
        return
    walk = {"link": _by_link, "cursor": _by_cursor, "offset": _by_number, "page": _by_number}[paging.type]
    for number, records in enumerate(walk(client, url, settings, paging), start=1):
        yield records
        if number == paging.max_pages:
            ctx.log("warning", f"Stopped after {number} pages, as `paging.max_pages` says; there may be more.")
            return


def _by_link(client: Client, url: str, settings: Settings, paging: Paging) -> Pages:
    query: dict[str, Any] | None = settings.query
    seen = _Seen("link")
    while True:
        answer = client.request("GET", url, query=query)
        body = answer.json()
        yield _records(answer, body, settings.records)
        link = answer.next_link if paging.path is None else dig(body, paging.path)
        if link is MISSING or not link:
            return
        if not isinstance(link, str):
            raise ConfigError(f"`{paging.path}` of the response is no link to the next page")
        # The link has the whole query of the next page already.
        url, query = urljoin(answer.url, link), None
        seen.add(url, answer)


def _by_cursor(client: Client, url: str, settings: Settings, paging: Paging) -> Pages:
    query = {**settings.query, **_limit(paging)}
    seen = _Seen("cursor")
    while True:
        answer = client.request("GET", url, query=query)
        body = answer.json()
        records = _records(answer, body, settings.records)
        yield records
        cursor = dig(body, paging.path or "")
        # A cursor that stays the same stands for a position that the server keeps; its end is an empty page.
        if cursor is MISSING or not cursor or (not records and cursor == query.get(paging.param)):
            return
        seen.add(str(cursor), answer)
        query = {**query, paging.param: cursor}


def _by_number(client: Client, url: str, settings: Settings, paging: Paging) -> Pages:
    # Only an empty page is the end: a short one may just mean that the server gives fewer than it was asked.
    position = paging.start
    seen = _Seen("page")
    first = True
    while True:
        query = {**settings.query, **_limit(paging), paging.param: position}
        answer = _page_or_none(client, url, query, first)
        records = None if answer is None else _list_of(answer, settings.records)
        if not answer or not records:
            if first:
                yield []
            return
        seen.add("", answer)
        yield records
        position += len(records) if paging.type == "offset" else 1
        first = False


def _page_or_none(client: Client, url: str, query: dict[str, Any], first: bool) -> Answer | None:
    try:
        return client.request("GET", url, query=query)
    except Refused as error:
        # Some servers answer 404 for the page after the last.
        if first or error.status != 404:
            raise
        return None


def _limit(paging: Paging) -> dict[str, Any]:
    return {paging.limit_param: paging.size} if paging.limit_param else {}


def _list_of(answer: Answer, path: str | None) -> list[Any]:
    body = answer.json()
    value = body if path is None else dig(body, path)
    if isinstance(value, dict):
        where = f"at `{path}`" if path else "as the whole response"
        raise ConfigError(
            f"{shown(answer.url)} gives one object {where}, not a list of records ({keys_of(value)}); "
            "say with `records` where the list lies"
        )
    return _records(answer, body, path)


def _records(answer: Answer, body: Any, path: str | None) -> list[Any]:
    value = body if path is None else dig(body, path)
    if value is MISSING:
        raise ConfigError(f"the response of {shown(answer.url)} has no `{path}`; {keys_of(body)}")
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


class _Seen:
    """Stops a read that goes round in circles.

    :param what: what leads to the next page
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._hashes: set[bytes] = set()

    def add(self, key: str, answer: Answer) -> None:
        """Remember a page and what leads to the next one.

        :raises ConfigError: both have been there before
        """
        digest = blake2b(key.encode("utf-8", "surrogatepass") + b"\0" + answer.body, digest_size=16).digest()
        if digest in self._hashes:
            raise ConfigError(
                f"{shown(answer.url)} gave the same {self._what} twice, so the read would never end; "
                "do the fields under `paging` fit this API?"
            )
        self._hashes.add(digest)
