"""Proofs that stand in the body: Microsoft Graph's client state, Salesforce's organization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.parsers import expat

from flowmate_airflow.webhooks.proofs import NO_KEY, NoKey, Proof, dummy_work, matches_one, secret_bytes
from flowmate_airflow.webhooks.requests import HookRequest, Rejected
from flowmate_airflow.webhooks.sources import MAX_ITEMS, body_json

ORGANIZATION_ID = 15
"""Characters of a Salesforce id that tell it apart; the three more that may follow are made of them."""
MAX_XML_TEXT = 64
"""Characters of an element's text that is looked into."""


@dataclass(frozen=True, slots=True)
class ClientState(Proof):
    """The secret in every item of a Microsoft Graph notification.

    https://learn.microsoft.com/graph/change-notifications-delivery-webhooks
    """

    def check(self, request: HookRequest, secrets: Sequence[str], now: float) -> None:
        """See :meth:`Proof.check`."""
        dummy_work(request)
        if not secrets:
            raise NoKey(NO_KEY)
        body = body_json(request.body)
        items = body.get("value") if isinstance(body, dict) else None
        if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
            raise Rejected("the body is no notification of Microsoft Graph")
        if body.get("validationTokens"):
            raise Rejected("notifications with resource data are not taken: their validationTokens are not checked")
        keys = [secret_bytes(secret) for secret in secrets]
        wrong = sum(not matches_one(keys, _client_state(item)) for item in items)
        if wrong:
            raise Rejected(f"the clientState of {wrong} of {len(items)} items is not the secret")

    def told(self) -> tuple[str, ...]:
        """See :meth:`Proof.told`."""
        return ("body `value.*.clientState`",)


def _client_state(item: Any) -> bytes:
    text = item.get("clientState") if isinstance(item, dict) else None
    return text.encode() if isinstance(text, str) else b""


@dataclass(frozen=True, slots=True)
class Organization(Proof):
    """The id of the organization in a Salesforce outbound message. It is no secret: the URL's token is the proof.

    https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging.htm
    """

    def check(self, request: HookRequest, secrets: Sequence[str], now: float) -> None:
        """See :meth:`Proof.check`."""
        dummy_work(request)
        keys = [secret_bytes(secret[:ORGANIZATION_ID]) for secret in secrets if len(secret) >= ORGANIZATION_ID]
        if not keys:
            raise NoKey(NO_KEY)
        found = _texts(request.body, "OrganizationId")
        if len(found) != 1 or not matches_one(keys, found[0][:ORGANIZATION_ID].encode()):
            raise Rejected("the message is not of the organization")

    def told(self) -> tuple[str, ...]:
        """See :meth:`Proof.told`."""
        return ("the token in the URL", "body `OrganizationId`")


def _texts(body: bytes, name: str) -> list[str]:
    """Return the texts of the elements of a name, whatever their namespace.

    :raises Rejected: it is no XML, or has a document type, which could define entities
    """
    found: list[str] = []
    is_in = False

    def start(tag: str, _attributes: Any) -> None:
        nonlocal is_in
        is_in = tag.rpartition(":")[2] == name
        if is_in and len(found) < MAX_ITEMS:
            found.append("")

    def end(_tag: str) -> None:
        nonlocal is_in
        is_in = False

    def text(data: str) -> None:
        if is_in and len(found[-1]) <= MAX_XML_TEXT:
            found[-1] += data

    def refuse(*_: Any) -> None:
        raise Rejected("the XML has a document type")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Rejected(f"the body is no XML: {type(error).__name__}") from None
    return found
