"""Requests to addresses of the public internet only: for URLs that somebody else has chosen.

What is checked is each address that is connected to, at that moment: a name that leads elsewhere the second time, or a
redirect, gains nothing. A proxy of the environment would connect in our place, so none is used.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.poolmanager import PoolManager
from urllib3.util.connection import allowed_gai_family, create_connection

from flowmate_airflow.net.addresses import is_public

MAX_ADDRESSES = 4
"""Of one name, that are tried."""
CONNECT_SECONDS = 10.0
"""To connect, where the request sets no limit; for all of a name's addresses together."""


class NotPublic(Exception):
    """A name leads to addresses of a private network only. Not one of requests' errors: nothing should be retried."""


class PublicAdapter(HTTPAdapter):
    """An adapter for :class:`requests.Session` that connects to public addresses only, and through no proxy.

    :param allow_private: connect to any address
    :param opened: is given each socket as soon as it is connected
    """

    def __init__(self, *, allow_private: bool = False, opened: Callable[[socket.socket], None] | None = None) -> None:
        self._allow_private = allow_private
        self._opened = opened
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the pools, of connections that are checked."""
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._connect)

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        """Send a request, without the proxies that the session has found.

        :raises NotPublic: its host has no public address
        """
        return super().send(request, stream, timeout, verify, cert, proxies=None)

    def _connect(self, connection: HTTPConnection) -> socket.socket:
        host = connection._dns_host
        timeout = connection.timeout
        end = time.monotonic() + (timeout if isinstance(timeout, float | int) else CONNECT_SECONDS)
        failure: OSError | None = None
        for address in self._addresses(connection):
            left = end - time.monotonic()
            if left <= 0:
                break
            try:
                found = create_connection(
                    (address, connection.port), left, connection.source_address, connection.socket_options
                )
            except OSError as error:
                failure = error
                continue
            self._take(found, host)
            # From now on the limit is the one between two pieces of the answer.
            found.settimeout(timeout if isinstance(timeout, float | int) else None)
            return found
        if failure is None or isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(connection, f"{host} could not be connected to in time")
        raise NewConnectionError(connection, f"{host} could not be connected to: {failure.strerror}")

    def _addresses(self, connection: HTTPConnection) -> list[str]:
        """Return the addresses to try.

        :raises NotPublic: none of the name's is public
        """
        host = connection._dns_host.strip("[]")
        try:
            found = socket.getaddrinfo(host, connection.port, allowed_gai_family(), socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise NameResolutionError(host, connection, error) from error
        except UnicodeError:
            raise NewConnectionError(connection, f"{host[:100]} is no name of a host") from None
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
        usable = [address for address in addresses if self._allow_private or is_public(address)]
        if not usable:
            raise NotPublic(_refusal(host))
        return usable[:MAX_ADDRESSES]

    def _take(self, found: socket.socket, host: str) -> None:
        """Check who really answered, and tell about the connection."""
        if not self._allow_private and not is_public(str(found.getpeername()[0])):
            found.close()
            raise NotPublic(_refusal(host))
        if self._opened is not None:
            self._opened(found)


def _refusal(host: str) -> str:
    return f"{host[:200]} has no address on the public internet"


def _pool_classes(connect: Callable[[HTTPConnection], socket.socket]) -> dict[str, type[HTTPConnectionPool]]:
    """Return the classes of urllib3's pools by scheme, with connections that are opened by a function."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
