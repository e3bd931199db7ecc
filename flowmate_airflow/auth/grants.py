"""What a login has brought, and how a Connection holds it.

The Connection as Airflow's database has it is the *stored* one: beside what people filled in, its extra has what the
login brought, with the refresh token. A task gets a *view* of it, in which the password is the credential to send and
nothing is that could bring another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

MARK = "flowmate"
"""The key of a Connection's extra that says whose it is: `{"connector": …, "method": …, "tenant": …}`."""
TOKEN = "flowmate_token"  # noqa: S105
"""The key of a stored Connection's extra with the grant; Airflow masks what has such a name."""
PROBLEM = "problem"
"""The key beside `connector` in a view without credentials: `{"kind": …, "text": …}`."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens that a login has brought.

    :param access_token: what requests carry
    :param refresh_token: what brings the next one
    :param token_secret: of OAuth 1
    :param token_type: as the provider says
    :param scope: what was granted, with blanks between
    :param expires_at: when the access token is over, in seconds since 1970; None: nobody knows
    :param obtained_at: since when it is there
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    token_secret: str | None = field(default=None, repr=False)
    token_type: str = ""
    scope: str = ""
    expires_at: float | None = None
    obtained_at: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, without what is not set."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_json(cls, value: Any) -> Grant | None:
        """Return what :meth:`as_json` made; None for anything else."""
        if not isinstance(value, Mapping) or not isinstance(value.get("access_token"), str):
            return None
        texts = ("access_token", "refresh_token", "token_secret", "token_type", "scope")
        times = ("expires_at", "obtained_at")
        known = {name: value[name] for name in texts if isinstance(value.get(name), str)}
        known |= {name: float(value[name]) for name in times if type(value.get(name)) in (int, float)}
        return cls(**known)
