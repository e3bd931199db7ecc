"""What a person is told who cannot go on."""

from __future__ import annotations


class PageError(Exception):
    """A page that says why not, instead of the one that was asked for.

    :param status: of HTTP
    :param title: in a few words
    :param text: in a sentence or two, without secrets
    :param onward: where one can go on: an address of ours and what the link to it says
    """

    def __init__(self, status: int, title: str, text: str, onward: tuple[str, str] | None = None) -> None:
        self.status = status
        self.title = title
        self.text = text
        self.onward = onward
        super().__init__(text)
