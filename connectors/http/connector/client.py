"""Sends requests: retries, redirects, limits, and credentials to one host only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

import requests
from flowmate_connector import ConfigError, Context, MessageError, TransientError
from flowmate_connector.channel import to_line

from .answer import Answer
from .backoff import retry_failure, retry_status, wait_seconds
from .identity import Identity, host_of, shown, split_url
from .settings import ABSENT, Settings

CHUNK = 16 * 1024
ERROR_BYTES = 64 * 1024
EXCERPT = 200
LONGEST_REDIRECT = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_DEFAULT_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate",
    "User-Agent": "flowmate-http/1.0.0",
}


class Refused(MessageError):
    """The server answers this request with an error that no retry heals.

    :param text: what it said
    :param status: the HTTP status
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text, "config")
        self.status = status


class Client:
    """An HTTP client for one run.

    :param settings: the step's fields
    :param ctx: gives the credentials and takes log lines
    :raises ConfigError: the credentials or the URL do not fit
    """

    def __init__(self, settings: Settings, ctx: Context) -> None:
        self.settings = settings
        self._ctx = ctx
        self._identity = Identity.of(ctx.credentials)
        home = self.absolute(settings.url)
        if self._identity.is_secret and self._identity.base_url:
            home = self._identity.base_url
        self._home = host_of(home)
        self._secure = split_url(home).scheme == "https"
        self._session = requests.Session()
        self._session.headers.clear()

    def absolute(self, url: str) -> str:
        """Return a step's URL as an absolute one.

        :raises ConfigError: it is relative and the connection has no address
        """
        if "://" in url.split("?")[0]:
            return url
        base = self._identity.base_url
        if base is None:
            raise ConfigError(f"`url` is relative ({shown(url)}), and there is no connection with an address")
        return f"{base.rstrip('/')}/{url.lstrip('/')}"

    def request(self, method: str, url: str, *, query: Mapping[str, Any] | None = None, body: Any = ABSENT) -> Answer:
        """Send a request and return its answer, which has a status below 400.

        :param url: an absolute URL
        :param query: added to the query that the URL has
        :param body: sent as JSON, ABSENT for none
        :raises ConfigError: the credentials are refused, or would go to another host
        :raises Refused: the server answers with another 4xx
        :raises MessageError: the answer is larger than `max_bytes`
        :raises TransientError: the server or the network fails, also after the retries
        """
        response = self._follow(method, url, query, body)
        with response:
            if response.status_code >= 400:
                self._refuse(method, response)
            return self._read(response)

    def probe(self, url: str) -> int:
        """Return the status that a GET of the URL has.

        :raises ConfigError: it is 401 or 403
        :raises TransientError: the server or the network fails
        """
        with self._follow("GET", url, None, ABSENT) as response:
            status: int = response.status_code
            if status in (401, 403) or status >= 500:
                self._refuse("GET", response)
            return status

    def _follow(self, method: str, url: str, query: Mapping[str, Any] | None, body: Any) -> requests.Response:
        for _ in range(LONGEST_REDIRECT):
            response = self._send_once_more_if_refused(method, url, query, body)
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or not location:
                return response
            response.close()
            if response.status_code == 303 and method != "HEAD":
                method, body = "GET", ABSENT
            elif response.status_code in (301, 302) and method not in ("GET", "HEAD"):
                # Browsers turn it into a GET, which would look like success without anything being written.
                target = shown(urljoin(url, location))
                raise ConfigError(f"{method} {shown(url)} has moved to {target}; put that into `url`")
            url, query = urljoin(response.url or url, location), None
        raise ConfigError(f"{shown(url)}: more than {LONGEST_REDIRECT} redirects")

    def _send_once_more_if_refused(
        self, method: str, url: str, query: Mapping[str, Any] | None, body: Any
    ) -> requests.Response:
        used = self._ctx.credentials
        response = self._send_with_retries(method, self._prepare(method, url, query, body))
        if response.status_code != 401 or not (self._ctx.renews and self._identity.is_secret):
            return response
        response.close()
        self._ctx.log("info", f"{method} {shown(url)} answered 401; asking for a new token")
        self._identity = Identity.of(self._ctx.renew(rejected=used))
        return self._send_with_retries(method, self._prepare(method, url, query, body))

    def _prepare(self, method: str, url: str, query: Mapping[str, Any] | None, body: Any) -> requests.PreparedRequest:
        at_home = self._is_home(url)
        headers = {**_DEFAULT_HEADERS, **(self.settings.headers if at_home else {})}
        data = None
        if body is not ABSENT:
            data = to_line(body)[:-1]
            if not any(name.lower() == "content-type" for name in headers):
                headers["Content-Type"] = "application/json"
        try:
            request = self._session.prepare_request(
                requests.Request(method, url, headers=headers, params=query, data=data, auth=self._identity.auth)
            )
        except (requests.RequestException, ValueError) as error:
            # The texts of requests hold the URL with its query.
            raise ConfigError(f"no request can be made of {shown(url)}: {type(error).__name__}") from None
        # What was checked must be what is connected to, even where two parsers read a URL differently.
        if host_of(request.url or "") != host_of(url):
            raise ConfigError(f"{shown(url)} is ambiguous: it can be read as two different hosts")
        return request

    def _is_home(self, url: str) -> bool:
        host, secure = host_of(url), split_url(url).scheme == "https"
        if host == self._home and (secure or not self._secure):
            return True
        if not self._identity.is_secret:
            return False
        if host == self._home:
            raise ConfigError(f"the credentials for https://{host} are not sent to http://{host}")
        raise ConfigError(
            f"the credentials for {self._home} are not sent to {host}, where {shown(url)} lies; "
            "use a connection for that host"
        )

    def _send_with_retries(self, method: str, request: requests.PreparedRequest) -> requests.Response:
        attempt = 0
        while True:
            what, retry_after = "", None
            try:
                response = self._send(request)
            except requests.RequestException as error:
                what = self._describe(method, request, error)
                if attempt >= self.settings.retries or not retry_failure(method, error):
                    raise TransientError(f"{what} (tried {attempt + 1} times)") from None
            else:
                status, retry_after = response.status_code, response.headers.get("Retry-After")
                if attempt >= self.settings.retries or not retry_status(method, status, retry_after):
                    return response
                what = f"{method} {shown(request.url or '')} answered {status}"
                if wait_seconds(attempt, retry_after) is None:
                    return response
                response.close()
            wait = wait_seconds(attempt, retry_after) or 0.0
            attempt += 1
            self._ctx.log("warning", f"{what}; trying again in {wait:.1f} s ({attempt} of {self.settings.retries})")
            time.sleep(wait)

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        options = self._session.merge_environment_settings(request.url or "", {}, True, None, None)
        # The session itself would read the body of a redirect, however large, and follow it.
        adapter = self._session.get_adapter(request.url or "")
        return adapter.send(
            request,
            stream=True,
            timeout=self.settings.timeout,
            verify=True if options["verify"] is None else options["verify"],
            cert=options["cert"],
            proxies=options["proxies"],
        )

    def _describe(self, method: str, request: requests.PreparedRequest, error: requests.RequestException) -> str:
        url = shown(request.url or "")
        if isinstance(error, requests.exceptions.SSLError):
            raise ConfigError(f"{method} {url}: no trusted TLS connection; is its certificate valid?") from None
        if isinstance(error, requests.exceptions.Timeout):
            return f"{method} {url} had no answer within {self.settings.timeout:g} s"
        if isinstance(error, requests.exceptions.ConnectionError):
            return f"{method} {url}: the connection failed"
        raise ConfigError(f"{method} {url}: {type(error).__name__}") from None

    def _read(self, response: requests.Response) -> Answer:
        body = bytearray()
        for chunk in self._chunks(response):
            body += chunk
            if len(body) > self.settings.max_bytes:
                raise MessageError(
                    f"{shown(response.url)} answered more than {self.settings.max_bytes} bytes; "
                    "ask for smaller pages or raise `max_bytes`",
                    "config",
                )
        link = response.links.get("next", {}).get("url")
        return Answer(
            response.status_code,
            response.url,
            bytes(body),
            _charset(response),
            urljoin(response.url, link) if link else None,
        )

    def _chunks(self, response: requests.Response) -> Any:
        try:
            yield from response.iter_content(CHUNK)
        except requests.RequestException as error:
            raise TransientError(f"{shown(response.url)}: the answer broke off ({type(error).__name__})") from None

    def _refuse(self, method: str, response: requests.Response) -> None:
        excerpt = bytearray()
        for chunk in self._chunks(response):
            excerpt += chunk
            if len(excerpt) >= ERROR_BYTES:
                break
        text = " ".join(excerpt.decode("utf-8", errors="replace").split())[:EXCERPT]
        status = response.status_code
        what = f"{method} {shown(response.url)} answered {status}" + (f": {text}" if text else "")
        if status in (401, 403):
            raise ConfigError(what)
        if status == 429 or status >= 500:
            raise TransientError(what)
        raise Refused(what, status)


def _charset(response: requests.Response) -> str:
    # Without a charset requests takes Latin 1 for text, as HTTP/1.0 had it.
    given = "charset=" in response.headers.get("Content-Type", "").lower()
    return (given and response.encoding) or "utf-8"
