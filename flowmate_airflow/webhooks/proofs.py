"""How a sender proves who it is: what all kinds of proof share, and those that need no signature."""

from __future__ import annotations

import base64
import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from flowmate_airflow.webhooks.requests import HookRequest, Rejected

Headers = tuple[tuple[str, str], ...]

TOLERANCE = 300
"""Seconds between a sender's clock and ours, by default: what most providers' own libraries take."""

_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})"
)


NO_KEY = "there is no secret that is a key of this scheme"


class NoKey(Rejected):
    """None of the secrets is one that this kind of proof can use."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a request was signed: where that stands, how it is written, how far it may be from now.

    :param header: the header it stands in
    :param item: or what it begins with in the list of the signature's header
    :param path: or the path to it in a JSON body
    """

    header: str | None = None
    item: str | None = None
    path: str | None = None
    unit: Literal["s", "ms", "iso"] = "s"
    tolerance: int = TOLERANCE

    def check(self, text: str, now: float) -> datetime:
        """Return the moment that a text tells.

        :raises Rejected: it tells none, or one too far from now
        """
        moment = self._seconds(text)
        if moment is None:
            raise Rejected("the timestamp is not one")
        if not abs(now - moment) <= self.tolerance:
            when = "old" if moment < now else "far in the future"
            raise Rejected(f"the timestamp is too {when}: {abs(now - moment):.0f} seconds from now")
        return datetime.fromtimestamp(moment, timezone.utc)

    def written(self, now: float) -> str:
        """Return a moment as this sender writes it."""
        if self.unit == "iso":
            return datetime.fromtimestamp(int(now), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return str(int(now * 1000) if self.unit == "ms" else int(now))

    def _seconds(self, text: str) -> float | None:
        if self.unit == "iso":
            return _iso_seconds(text)
        if not _NUMBER.fullmatch(text):
            return None
        return int(text) / 1000 if self.unit == "ms" else float(int(text))


def _iso_seconds(text: str) -> float | None:
    match = _ISO.fullmatch(text)
    if not match:
        return None
    zone = "+0000" if match[1] == "Z" else match[1].replace(":", "")
    whole, _, fraction = text[: match.start(1)].partition(".")
    try:
        moment = datetime.strptime(whole.replace(" ", "T") + zone, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except (ValueError, OverflowError):
        return None
    return moment + float(f"0.{fraction or 0}")


class Proof(ABC):
    """One kind of proof, with what a provider says of it."""

    @property
    def stamp(self) -> Stamp | None:
        """When it was made, where it says so."""
        return None

    @property
    def blocks(self) -> bool:
        """Whether checking it may wait for the network."""
        return False

    @abstractmethod
    def check(self, request: HookRequest, secrets: Sequence[str], now: float) -> datetime | None:
        """Return when the request was signed, or None where the proof does not say.

        :param secrets: none of them is empty; each is tried, for the time in which a sender changes to a new one
        :raises Rejected: the proof is missing or wrong
        """

    @abstractmethod
    def told(self) -> tuple[str, ...]:
        """Return what the proof stands in, for people."""

    def within(self, tolerance: int) -> Proof:
        """Return the proof with another time between the sender's clock and ours.

        :raises ValueError: it tells no time
        """
        raise ValueError("its proof tells no time")

    def sign(self, request: HookRequest, secret: str, now: float) -> Headers:
        """Return the headers that prove the request, which lacks them.

        :raises ValueError: nobody but the provider can make this proof, or the secret is none
        """
        raise ValueError("only the provider itself can make its proof; it cannot be signed here")


def dummy_work(request: HookRequest) -> None:
    """Do what checking a wrong signature does, so that the time of a refusal tells nothing."""
    hmac.compare_digest(hmac.digest(b"no key", request.body, "sha256"), bytes(32))


def matches_one(secrets: Iterable[bytes], given: bytes) -> bool:
    """Return whether one of the secrets is the given one, in a time that tells neither which nor how much of it."""
    found = False
    for secret in secrets:
        found |= hmac.compare_digest(secret, given)
    return found


def secret_bytes(secret: str) -> bytes:
    """Return a secret as the bytes that are the key."""
    return secret.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Token(Proof):
    """The secret itself, in a header.

    :param prefix: what stands before it, in whatever case
    :param is_base64: it is sent as base64, as HTTP's basic authentication does
    """

    header: str
    prefix: str = ""
    is_base64: bool = False

    def check(self, request: HookRequest, secrets: Sequence[str], now: float) -> None:
        """See :meth:`Proof.check`."""
        dummy_work(request)
        if not secrets:
            raise NoKey(NO_KEY)
        text = request.header(self.header) or ""
        if not text.lower().startswith(self.prefix.lower()) or len(text) == len(self.prefix):
            raise Rejected(f"the header {self.header} is missing or holds nothing")
        if not matches_one(map(self._sent, secrets), text[len(self.prefix) :].encode()):
            raise Rejected(f"the header {self.header} does not hold the secret")

    def told(self) -> tuple[str, ...]:
        """See :meth:`Proof.told`."""
        return (f"`{self.header}: {self.prefix}…`" if self.prefix else f"`{self.header}`",)

    def sign(self, request: HookRequest, secret: str, now: float) -> Headers:
        """See :meth:`Proof.sign`."""
        return ((self.header, self.prefix + self._sent(secret).decode("latin-1")),)

    def _sent(self, secret: str) -> bytes:
        raw = secret_bytes(secret)
        return base64.b64encode(raw) if self.is_base64 else raw


@dataclass(frozen=True, slots=True)
class UrlToken(Proof):
    """The token in the endpoint's address, which the receiver has compared before: nothing is left to check."""

    def check(self, request: HookRequest, secrets: Sequence[str], now: float) -> None:
        """See :meth:`Proof.check`."""
        dummy_work(request)

    def told(self) -> tuple[str, ...]:
        """See :meth:`Proof.told`."""
        return ("the token in the URL",)

    def sign(self, request: HookRequest, secret: str, now: float) -> Headers:
        """See :meth:`Proof.sign`."""
        return ()


@dataclass(frozen=True, slots=True)
class Either(Proof):
    """One of several proofs, each with its own kind of secret."""

    proofs: tuple[Proof, ...]

    @property
    def stamp(self) -> Stamp | None:
        """Of the first."""
        return self.proofs[0].stamp

    def check(self, request: HookRequest, secrets: Sequence[str], now: float) -> datetime | None:
        """See :meth:`Proof.check`."""
        reasons: list[Rejected] = []
        for proof in self.proofs:
            try:
                return proof.check(request, secrets, now)
            except NoKey:
                continue
            except Rejected as rejected:
                reasons.append(rejected)
        raise reasons[0] if reasons else NoKey(NO_KEY)

    def told(self) -> tuple[str, ...]:
        """See :meth:`Proof.told`."""
        return tuple(dict.fromkeys(each for proof in self.proofs for each in proof.told()))

    def within(self, tolerance: int) -> Either:
        """See :meth:`Proof.within`."""
        return Either(tuple(proof.within(tolerance) for proof in self.proofs))

    def sign(self, request: HookRequest, secret: str, now: float) -> Headers:
        """See :meth:`Proof.sign`."""
        return self.proofs[0].sign(request, secret, now)
