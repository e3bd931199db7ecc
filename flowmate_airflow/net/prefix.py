"""The prefix that Airflow's API server has before all its addresses, `[api] base_url`."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any


def put_back(scope: MutableMapping[str, Any], mounted: str) -> None:
    """Put the prefix before the path of a request again, where a proxy has taken it off.

    Airflow answers with it and without. Only with it does the path begin with `root_path` (ASGI), by which an app that
    is mounted finds its own part.

    :param scope: of a request to an app that is mounted; it is changed
    :param mounted: where it is mounted, below the prefix
    """
    root: str = scope.get("root_path", "")
    path: str = scope["path"]
    if path == root or path.startswith(f"{root}/"):
        return
    prefix = root.removesuffix(mounted)
    scope["path"] = f"{prefix}{path}"
    if "raw_path" in scope:
        scope["raw_path"] = prefix.encode() + (scope["raw_path"] or path.encode())
