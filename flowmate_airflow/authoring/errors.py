"""How authoring fails."""

from __future__ import annotations


class AuthoringError(Exception):
    """A manifest or an image cannot be made; the text says what, where and what to do."""
