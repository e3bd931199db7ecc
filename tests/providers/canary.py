"""Secrets to be looked for everywhere: each is known in whatever form it is written, also by halves.

A canary begins and ends with letters and digits, which no way of writing text changes. What is between them is what
each way changes otherwise. So a canary is found by its beginning or its end, as they are, in base64 at any place, or in
hexadecimal; inside of what is compressed, too.
"""

from __future__ import annotations

import base64
import html
import json
import secrets
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

PASSWORD = "\"+/ %&=\\<é>'\t"
"""What stands inside of a secret that people typed in."""
TOKEN = "+/=~._-"
"""What stands inside of a token, which goes into a header as it is."""
_UNPACKED = 64 * 1024 * 1024


@dataclass(frozen=True)
class Canary:
    """A secret.

    :param name: what it is, for messages
    :param inside: what stands between its beginning and its end
    """

    name: str
    inside: str = TOKEN
    head: str = field(default_factory=lambda: f"Kc{secrets.token_hex(8)}")
    tail: str = field(default_factory=lambda: f"{secrets.token_hex(8)}Qz")

    @property
    def secret(self) -> str:
        """The secret."""
        return f"{self.head}{self.inside}{self.tail}"

    def needles(self) -> Iterator[bytes]:
        """Yield what it is found by."""
        for part in (self.head.encode(), self.tail.encode()):
            yield from (part, part.hex().encode(), part.hex().upper().encode())
            for before in range(3):
                encoded = base64.b64encode(b"\0" * before + part)
                yield encoded[-(-before * 8 // 6) : (before + len(part)) * 8 // 6]


def written(secret: str) -> dict[str, str]:
    """Return a secret in the forms in which programs write it, by their names."""
    raw = secret.encode()
    return {
        "plain": secret,
        "JSON": json.dumps({"value": secret}),
        "JSON in UTF-8": json.dumps({"value": secret}, ensure_ascii=False),
        "JSON in JSON": json.dumps(json.dumps({"value": secret})),
        "percent": quote(secret, safe=""),
        "form": quote_plus(secret),
        "HTML": html.escape(secret),
        "Python": repr({"value": secret}),
        "Python's bytes": repr(raw),
        "base64": base64.b64encode(raw).decode(),
        "base64 after one": base64.b64encode(b"x" + raw + b"y").decode(),
        "base64 after two": base64.b64encode(b"me" + raw + b"yes").decode(),
        "base64 for URLs": base64.urlsafe_b64encode(b"{" + raw + b"}").decode(),
        "Basic": "Basic " + base64.b64encode(b"client:" + raw).decode(),
        "hexadecimal": raw.hex(),
        "hexadecimal in upper case": raw.hex().upper(),
    }


class Hunt:
    """Looks for canaries in all kinds of places."""

    def __init__(self, canaries: Iterable[Canary]) -> None:
        self._needles = {needle: each.name for each in canaries for needle in each.needles()}

    def within(self, data: str | bytes) -> list[str]:
        """Return the names of the canaries in some text or bytes, which may be compressed."""
        raw = data.encode(errors="surrogatepass") if isinstance(data, str) else data
        found = {name for needle, name in self._needles.items() if needle in raw}
        for unpacked in _unpacked(raw):
            found.update(self.within(unpacked))
        return sorted(found)

    def below(self, *folders: Path) -> dict[str, list[str]]:
        """Return which canaries are in which files below some folders."""
        found = {}
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    names = self.within(path.read_bytes())
                    if names:
                        found[str(path)] = names
        return found

    def in_processes(self) -> dict[str, list[str]]:
        """Return which canaries stand in the arguments or the environment of which processes of this machine."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    content = (path / name).read_bytes()
                except OSError:  # it has ended, or is another user's
                    continue
                names = self.within(content)
                if names:
                    found[f"{path / name}: {content[:200]!r}"] = names
        return found


def _unpacked(raw: bytes) -> Iterator[bytes]:
    if raw[:2] == b"\x1f\x8b":
        yield _begun(raw, gzip_too=True)
    elif raw[:1] == b"\x78":
        yield _begun(raw, gzip_too=False)


def _begun(raw: bytes, *, gzip_too: bool) -> bytes:
    """Return what can be unpacked: a file may be unfinished."""
    found = b""
    while raw and len(found) < _UNPACKED:
        decompressor = zlib.decompressobj(wbits=31 if gzip_too else 15)
        try:
            found += decompressor.decompress(raw, _UNPACKED)
        except zlib.error:
            return found
        if decompressor.unused_data[:2] != b"\x1f\x8b":
            return found
        raw = decompressor.unused_data
    return found
