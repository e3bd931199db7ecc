"""Texts of others for a manifest: plain, short, without markup."""

from __future__ import annotations

import html
import re
from typing import Any

_TAG = re.compile(r"</?[A-Za-z][^<>]{0,500}>")
_MARKDOWN_LINK = re.compile(r"\[([^\[\]]{1,300})\]\(([^()\s]{1,500})\)")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


def plain(text: Any, limit: int = 500) -> str:
    """Return a text without HTML, control characters and line breaks, shortened at a word.

    :param limit: of characters
    """
    if not isinstance(text, str):
        return ""
    text = html.unescape(_TAG.sub(" ", text[: limit * 8]))
    text = _MARKDOWN_LINK.sub(r"\1 (\2)", text)
    words = " ".join(_UNSEEN.sub(" ", text).split())
    if len(words) <= limit:
        return words
    return words[: limit - 1].rpartition(" ")[0].rstrip(",;:") + "…" if " " in words[: limit - 1] else words[:limit]


def sentence(*parts: Any, limit: int = 500) -> str:
    """Return some texts as sentences one after the other, each once."""
    told: list[str] = []
    for part in parts:
        text = plain(part, limit)
        if text and text not in told:
            told.append(text if text[-1] in ".!?:…" else f"{text}.")
    return plain(" ".join(told), limit)
