"""The path of Airflow's own address, such as `/airflow`, which some proxies take off before they hand a request on."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any


def put_prefix_back(scope: MutableMapping[str, Any], mounted: str) -> None:
    """Let a request's path begin with its `root_path`, as the sender wrote it, where a proxy has taken the prefix off.

    Starlette finds a mounted app with and without the prefix. Either way `root_path` is both, the prefix and where the
    app is mounted, and whoever takes that off the path, as the routes of a mounted app do, would take off nothing.

    :param scope: of an HTTP request that has come to a mounted app; it is changed in place
    :param mounted: where the app is mounted, below the prefix
    """
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    if not root or path == root or path.startswith(f"{root}/"):
        return
    prefix = root.removesuffix(mounted)
    scope["path"] = prefix + path
    raw: bytes | None = scope.get("raw_path")
    if raw:
        scope["raw_path"] = prefix.encode() + raw
