"""What can go wrong with a login."""

from __future__ import annotations

from typing import Literal

Kind = Literal["config", "transient", "refused", "needs_reauth"]


class LoginError(Exception):
    """Why there are no credentials.

    :param text: for people, in a sentence that never holds a secret
    :param kind: `config`: somebody must change the manifest, the application or what was filled in; `transient`: trying
        again may do; `refused`: the provider or a person said no; `needs_reauth`: only a new login brings another one
    :param retry_after: in how many seconds the provider wants to be asked again, where it said so
    """

    def __init__(self, text: str, kind: Kind = "config", retry_after: float | None = None) -> None:
        self.text = text
        self.kind: Kind = kind
        self.retry_after = retry_after
        super().__init__(text)


class Denied(LoginError):
    """A person was asked for a consent, and said no."""

    def __init__(self, text: str) -> None:
        super().__init__(text, "refused")
