"""A scheme: how one provider's webhooks are proven, named and acknowledged, as a row of values."""

from __future__ import annotations

import secrets as random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowmate_airflow.webhooks.proofs import Headers, Proof
from flowmate_airflow.webhooks.requests import HookRequest, Rejected, Reply, Verified, bounded_id, bounded_text
from flowmate_airflow.webhooks.sources import Source, first_of

ACCEPTED = Reply(202)


@dataclass(frozen=True, slots=True)
class Scheme:
    """One provider's row.

    :param title: what people call it
    :param secret: what the Connection's password holds, for people
    :param delivery_id: where the delivery's id stands; the first source that has one counts
    :param event: where the event's type stands
    :param handshakes: names of :data:`flowmate_airflow.webhooks.handshakes.HANDSHAKES`
    :param ack: what the provider wants to see for a delivery that was accepted
    :param methods: of deliveries; handshakes may come with others
    :param needs_url_token: the endpoint's address must end with its token
    :param alias: the beginnings of another name and of the name that the proof knows, for all its headers
    :param options: what refines it, beside what every scheme can be told
    """

    name: str
    title: str
    secret: str
    proof: Proof
    delivery_id: tuple[Source, ...] = ()
    event: tuple[Source, ...] = ()
    handshakes: tuple[str, ...] = ("cloudevents",)
    ack: Reply = ACCEPTED
    methods: tuple[str, ...] = ("POST",)
    needs_url_token: bool = False
    alias: tuple[str, str] | None = None
    options: tuple[str, ...] = ()

    @property
    def tolerance(self) -> int | None:
        """Seconds between the sender's clock and ours; None where the proof tells no time."""
        return self.proof.stamp.tolerance if self.proof.stamp else None

    @property
    def blocks(self) -> bool:
        """Whether verifying may wait for the network, so that it needs a thread of its own."""
        return self.proof.blocks


def verify(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Verified:
    """Return what is known of a delivery, once its proof was found right. Handshakes have been answered before.

    :param secrets: each is tried, for the time in which the sender changes to a new one
    :param now: seconds since 1970
    :raises Rejected: it has no proof or a wrong one, or there is no secret to check it with
    """
    if request.method not in scheme.methods:
        raise Rejected(f"the method is not {' or '.join(scheme.methods)}")
    known = _as_known(scheme, request)
    sent_at = scheme.proof.check(known, [secret for secret in secrets if secret], now)
    delivery_id, event = first_of(scheme.delivery_id, known), first_of(scheme.event, known)
    return Verified(
        bounded_id(delivery_id) if delivery_id else None,
        bounded_text(event) or None if event else None,
        sent_at,
    )


def sign(
    scheme: Scheme,
    body: bytes,
    secret: str,
    now: float,
    *,
    method: str = "POST",
    url: str = "",
    headers: Headers = (),
    delivery_id: str | None = None,
    event: str | None = None,
) -> Headers:
    """Return the headers with which a request passes: its proof, and its id and event where they stand in headers.

    :param url: the endpoint's address, which some providers sign
    :param headers: what else the request has; the content type is part of some proofs
    :param delivery_id: a new one by default
    :raises ValueError: the proof is one that only the provider can make, or the secret is none
    """
    if not secret and not scheme.needs_url_token:
        raise ValueError(f"there is no secret to sign with as {scheme.name}")
    name = _header_of(scheme.delivery_id)
    told = [(name, delivery_id or f"msg_{random.token_hex(16)}")] if name else []
    event_name = _header_of(scheme.event)
    if event and event_name:
        told.append((event_name, event))
    request = HookRequest(method, url, (*headers, *told), body)
    return (*told, *scheme.proof.sign(request, secret, now))


def _header_of(sources: tuple[Source, ...]) -> str | None:
    """Return the header that a value stands in, where it stands in one and nowhere else."""
    parts = sources[0].parts if sources else ()
    return parts[0].removeprefix("header:") if len(parts) == 1 and parts[0].startswith("header:") else None


def _as_known(scheme: Scheme, request: HookRequest) -> HookRequest:
    """Return a request that uses the other name of a scheme's headers with the name that the proof knows.

    All of them are renamed or none: an id that was not signed must not stand for the one that was.
    """
    if scheme.alias is None:
        return request
    other, known = scheme.alias
    names = {name for name, _ in request.headers}
    if f"{known}signature" in names or f"{other}signature" not in names:
        return request
    kept = [(name, text) for name, text in request.headers if not name.startswith(known)]
    renamed = [(known + name.removeprefix(other) if name.startswith(other) else name, text) for name, text in kept]
    return replace(request, headers=tuple(renamed))
