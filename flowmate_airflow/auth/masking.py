"""Hiding secrets in texts, in every form in which they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "***"
_CUT = re.compile(r"(…| \([0-9]+ more bytes\))")
"""Stands where a text was cut off, perhaps in the middle of a secret."""
_LEAST = 4
_MAX_CUTS = 20
MAX_SECRETS = 2_000
"""Of more, the oldest are forgotten: a step that runs for a day has had many tokens, which are over."""


class Masker:
    """Replaces the secrets it knows.

    Airflow has one as well, for all that a task logs. That one is a regular expression, which is compiled anew for each
    text it learns: with every form of a long token this takes seconds. This one is asked for what components say.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: dict[str, None] = {}
        self._secrets: list[str] = []
        self.add(secrets)

    def __repr__(self) -> str:
        return f"Masker({len(self._secrets)})"

    def add(self, secrets: Iterable[str]) -> None:
        """Learn more secrets."""
        self._known |= dict.fromkeys(each for each in secrets if each)
        for oldest in list(self._known)[:-MAX_SECRETS]:
            del self._known[oldest]
        self._secrets = sorted(self._known, key=len, reverse=True)  # what is part of another comes later

    def __call__(self, text: str) -> str:
        """Return a text without secrets, and without the beginning of one where it was cut off."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        *heads, tail = _CUT.split(text, _MAX_CUTS)
        return "".join([*map(self._without_half, heads), tail])

    def _without_half(self, head: str) -> str:
        for secret in self._secrets:
            if secret[:_LEAST] not in head:
                continue
            for size in range(min(len(secret) - 1, len(head)), _LEAST - 1, -1):
                if head.endswith(secret[:size]):
                    return head[:-size] + HIDDEN
        return head
