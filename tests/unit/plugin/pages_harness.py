"""The pages and the API in a server of Airflow's kind, with browsers that are signed in or not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from airflow.api_fastapi.core_api import security
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from links_harness import World, world
from nasty import Nasty

from flowmate_airflow.plugin.app import make_app
from flowmate_airflow.plugin.links import app as links_app
from flowmate_airflow.plugin.links import jobs, pages, people
from flowmate_airflow.settings import setting
from flowmate_airflow.webhooks.mount import Mounted

make_links = links_app.make_links
HOME = "http://flowmate.example"
TENANT = "acme"


@dataclass
class User:
    """A user of Airflow."""

    name: str

    def get_id(self) -> str:
        return self.name

    def get_name(self) -> str:
        return self.name


@dataclass
class Manager:
    """Airflow's auth manager: who is in `denied` may not do that."""

    denied: set[tuple[str, str]] = field(default_factory=set)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    def is_authorized_connection(self, *, method: str, details: Any, user: User) -> bool:
        self.asked.append((user.name, method, details.conn_id))
        return (user.name, method) not in self.denied

    def is_authorized_dag(self, *, method: str, access_entity: Any, details: Any, user: User) -> bool:
        return (user.name, f"{method} RUN") not in self.denied


@dataclass
class Form:
    """A form of a page, and the page's links."""

    hidden: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, dict[str, str | None]] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form = Form()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag in ("input", "select", "textarea") and found.get("name"):
            name = str(found["name"])
            if found.get("type") == "hidden":
                self.form.hidden[name] = found.get("value") or ""
            else:
                self.form.inputs[name] = found
        if tag == "a" and found.get("href"):
            self.form.links.append(str(found["href"]))


def read_page(text: str) -> Form:
    """Return what is in a page."""
    reader = _Reader()
    reader.feed(text)
    return reader.form


def tags_of(text: str) -> list[tuple[str, dict[str, str | None]]]:
    """Return a page's elements."""
    reader = _Reader()
    reader.feed(text)
    return reader.tags


class Browser:
    """A browser with cookies of its own.

    :param user: of Airflow who is signed in there
    """

    def __init__(self, app: Any, user: str | None = None, home: str = HOME) -> None:
        self.client = TestClient(app, base_url=home, follow_redirects=False, raise_server_exceptions=False)
        self.home = home
        if user is not None:
            self.client.cookies.set("_token", user)

    def get(self, address: str) -> httpx.Response:
        return self.client.get(address)

    def submit(self, address: str, *, at: str | None = None, **fields: str) -> httpx.Response:
        """Open a page and send its form.

        :param fields: of the form; those of a connector's method by their own names
        """
        page = self.get(address)
        assert page.status_code == 200, page.text
        return self.post(at or address, {**read_page(page.text).hidden, **_named(fields)})

    def post(self, address: str, fields: Mapping[str, str], **headers: str) -> httpx.Response:
        """Send a form as the browser would from a page here."""
        given = {"Origin": self.home, "Sec-Fetch-Site": "same-origin"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = urlencode(fields)
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.client.post(address, content=content, headers={**kind, **{k: v for k, v in given.items() if v}})


def _named(fields: Mapping[str, str]) -> dict[str, str]:
    return {name if name in ("method", "form_token") else f"field.{name}": value for name, value in fields.items()}


@dataclass
class Site:
    """The server, and what it works on.

    :param seen: addresses, as access logs see them
    :param after: what was linked, and is looked after
    """

    app: FastAPI
    world: World
    manager: Manager
    seen: list[str]
    after: list[tuple[str, str]]

    def browser(self, user: str | None = "ann", home: str = HOME) -> Browser:
        """Return a new browser."""
        return Browser(self.app, user, home)

    def add_connector(self, name: str, auth: dict[str, Any], **more: Any) -> None:
        """Add a connector, or change it."""
        self.world.add_connector(name, auth)
        if more:
            import yaml

            path = self.world.folder / name / "connector.yaml"
            path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **more}))
        pages._known = None


@contextmanager
def serving_pages(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Give a server as Airflow's is, whose users sign in by their names."""
    with world(home, monkeypatch) as made:
        manager, seen = Manager(), []

        async def resolve(token: str | None) -> User:
            if not token or token == "signed-out":
                raise HTTPException(401, "Not authenticated")
            return User(token)

        monkeypatch.setattr(security, "resolve_user_from_token", resolve)
        for module in (people, jobs):
            monkeypatch.setattr(module, "get_auth_manager", lambda: manager)
        monkeypatch.setattr(pages, "_known", None)
        after: list[tuple[str, str]] = []
        for module in ("forms", "comeback", "tenantroutes"):
            followed = f"flowmate_airflow.plugin.links.{module}.follow"
            monkeypatch.setattr(followed, lambda _, tenant, connector: after.append((tenant, connector)))
        monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", HOME)
        monkeypatch.setattr(links_app, "make_links", lambda: _links_for(setting("embedding_origins")))
        app = FastAPI(openapi_url=None)
        app.mount("/flowmate", make_app(Mounted("/flowmate/hooks")))
        app.add_middleware(Logged, seen=seen)
        yield Site(app, made, manager, seen, after)


@lru_cache
def _links_for(origins: str) -> Any:
    """Making its routes takes longer than most tests; it keeps nothing but who may call."""
    return make_links()


class Logged:
    """What an access log sees."""

    def __init__(self, app: Any, seen: list[str]) -> None:
        self.app, self.seen = app, seen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        if scope["type"] == "http":
            self.seen.append(f"{scope['path']}?{scope['query_string'].decode()}")


def onward(answer: httpx.Response) -> str:
    """Return where a page goes on to by itself."""
    assert answer.status_code == 200, answer.text
    found = re.search(r'<meta http-equiv="refresh" content="0; url=([^"]*)">', answer.text)
    assert found is not None, answer.text
    return unescape(found[1])


def query_of(address: str) -> dict[str, str]:
    """Return the query of an address."""
    return dict(parse_qsl(urlsplit(address).query, keep_blank_values=True))


def path_of(address: str) -> str:
    """Return an address without its server."""
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def consented(provider: Nasty, address: str) -> str:
    """Consent at the provider, and return where it sends the browser, without the server."""
    back = provider.consent(address)
    return f"{urlsplit(query_of(address)['redirect_uri']).path}?{urlencode(back)}"
