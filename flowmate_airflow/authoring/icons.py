"""Icons of others: small pictures that a browser may show."""

from __future__ import annotations

import re
from pathlib import Path

MAX_BYTES = 256 * 1024
NAMES = ("logo.png", "logo.svg", "icon.svg", "icon.png")

_PNG = b"\x89PNG\r\n\x1a\n"
_ACTIVE = re.compile(
    rb"<\s*(script|foreignobject|iframe|embed|object|audio|video|handler|set|animate)|\bon[a-z]+\s*=|javascript:"
    rb"|<!\s*(doctype|entity)|<\?xml-stylesheet|@import|(href|src)\s*=\s*['\"]\s*(?!#|data:image/(png|jpeg|gif);)",
    re.IGNORECASE,
)
_SVG = re.compile(rb"^\s*(<\?xml[^>]{0,200}\?>\s*)?(<!--.{0,2000}?-->\s*)*<svg[\s>]", re.DOTALL | re.IGNORECASE)


def icon_name(content: bytes) -> str | None:
    """Return the file name for an icon, None where it is none that a page may show: no picture, too large, or active.

    SVG is a program: one with scripts, with parts from elsewhere, or in an encoding that hides them, is none.
    """
    if len(content) > MAX_BYTES:
        return None
    if content.startswith(_PNG):
        return "icon.png"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    plain = text.encode()
    if "\x00" in text or "&#" in text or not _SVG.match(plain) or _ACTIVE.search(plain):
        return None
    return "icon.svg"


def find_icon(folder: Path) -> bytes | None:
    """Return the icon in a component's folder."""
    root = folder.resolve()
    for name in NAMES:
        path = (folder / name).resolve()
        if path.is_file() and path.is_relative_to(root) and path.stat().st_size <= MAX_BYTES:
            content = path.read_bytes()
            if icon_name(content):
                return content
    return None
