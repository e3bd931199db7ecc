"""How the store fails."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do what it was asked to; the text is one sentence that says why, without any secret.

    :param transient: another try may succeed, such as when the database's server does not answer
    """

    def __init__(self, text: str, *, transient: bool = False) -> None:
        super().__init__(text)
        self.transient = transient
