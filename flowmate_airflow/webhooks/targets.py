"""An endpoint made ready to be posted to: what of it is the same for every request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from flowmate_airflow.webhooks.answers import Answer, of_reply
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.proofs import Either, Proof, Token, UrlToken
from flowmate_airflow.webhooks.scheme import Scheme
from flowmate_airflow.webhooks.schemes import scheme_named
from flowmate_airflow.webhooks.signatures import Signature

_SECRET = re.compile(
    r".*(authori[sz]|authentic|cookie|csrf|credential|hmac|passw|secret|session|signature|token|api[-_]?key).*"
    r"|(.*[-_.])?(auth|jwt|pwd|sig)([-_.].*)?|code|key"
)
_OF_THE_ADDRESS = re.compile(r"referer|.*(original|rewrite|replaced|forwarded|request|unencoded)[-_](path|uri|url).*")
"""Headers in which proxies repeat the whole address, with its token."""
_OF_THE_CONNECTION = frozenset(
    (
        *("accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint and what its scheme makes of it.

    :param ack: what its sender wants to see when a delivery is stored
    :param signs: whether the proof is over what was sent, so that the same again is a repetition
    :param hidden: further headers that hold a secret
    :param tenant: whose address was called, where each tenant has its own
    """

    endpoint: Endpoint
    scheme: Scheme
    ack: Answer
    signs: bool
    hidden: frozenset[str] = field(default=frozenset())
    tenant: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """What it is known by: the endpoint's name, and the tenant."""
        return self.endpoint.name, self.tenant

    def of(self, tenant: str) -> Target:
        """Return the same with a tenant's address."""
        return replace(self, tenant=tenant)

    def keeps_header(self, name: str) -> bool:
        """Whether a header is told to the flow: what proves something or belongs to the connection is not."""
        is_hidden = name in self.hidden or name in _OF_THE_CONNECTION
        return not (is_hidden or is_secret(name) or _repeats_the_address(name))


def target_of(endpoint: Endpoint) -> Target:
    """Return an endpoint made ready.

    :raises ValueError: its scheme or an option of it is not known
    """
    scheme = scheme_named(endpoint.scheme, endpoint.options)
    proofs = list(_proofs(scheme.proof))
    return Target(
        endpoint,
        scheme,
        of_reply(scheme.ack),
        not any(isinstance(proof, Token | UrlToken) for proof in proofs),
        frozenset(proof.header for proof in proofs if isinstance(proof, Token | Signature)),
    )


@lru_cache(maxsize=4096)
def is_secret(name: str) -> bool:
    """Whether what stands under a name, of a header or in a query, is likely a secret or a proof."""
    return _SECRET.fullmatch(name.lower()) is not None


@lru_cache(maxsize=4096)
def _repeats_the_address(name: str) -> bool:
    return _OF_THE_ADDRESS.fullmatch(name) is not None


def _proofs(proof: Proof) -> Iterator[Proof]:
    if isinstance(proof, Either):
        for each in proof.proofs:
            yield from _proofs(each)
    else:
        yield proof


NOBODY = target_of(Endpoint("-"))
"""What whoever is not let in gets to see: an endpoint with all by default, and no secret."""
