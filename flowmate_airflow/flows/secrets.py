"""Finding what looks like a secret written into a flow, where anybody who may read the DAG could read it."""

from __future__ import annotations

import re
from typing import Any

from flowmate_airflow.flows.expressions import is_template

_SECRET_KEY = re.compile(
    r"(?:^|[_-])(?:password|passwd|passphrase|pwd|secret|client_?secret|token|access_?token|refresh_?token|"
    r"api_?key|apikey|private_?key|authorization|auth_?token|x-api-key)$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_VALUE = re.compile(
    r"""
      ^(?:Bearer|Basic)\s+[A-Za-z0-9+/._~=-]{8,}$
    | ^(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}
    | ^gh[pousr]_[A-Za-z0-9]{20,}
    | ^github_pat_[A-Za-z0-9_]{20,}
    | ^xox[abpros]-[A-Za-z0-9-]{10,}
    | ^(?:AKIA|ASIA)[A-Z0-9]{16}$
    | ^shp(?:at|ss|ca|pa)_[A-Fa-f0-9]{16,}
    | ^AIza[A-Za-z0-9_-]{30,}
    | ^glpat-[A-Za-z0-9_-]{16,}
    | ^eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.
    | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----
    | ^[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@
    """,
    re.VERBOSE,
)


def looks_like_secret(key: str | None, value: Any) -> bool:
    """Whether a literal under a key is likely a secret; rendered texts (`{{ … }}`) are not literals."""
    if not isinstance(value, str) or not value or is_template(value):
        return False
    if _SECRET_VALUE.search(value):
        return True
    return key is not None and _SECRET_KEY.search(_CAMEL.sub("_", key)) is not None
