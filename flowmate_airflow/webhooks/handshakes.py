"""Questions that providers ask before they deliver, or now and then, and their answers."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowmate_airflow.webhooks.certificates import is_confirm_url
from flowmate_airflow.webhooks.proofs import matches_one, secret_bytes
from flowmate_airflow.webhooks.requests import NOSNIFF, HookRequest, Rejected, Reply, echo
from flowmate_airflow.webhooks.scheme import Scheme, verify
from flowmate_airflow.webhooks.signatures import VERIFY_TOKEN
from flowmate_airflow.webhooks.sns import CONFIRM, UNSUBSCRIBED
from flowmate_airflow.webhooks.sources import at, body_json

MAX_QUESTION = 4096
"""Bytes of a body, and characters of a token, that a handshake has at most."""
MAX_SECRET = 512
"""Characters of a secret that a handshake brings."""
JSON = "application/json"

_ORIGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_RATE = re.compile(r"[1-9][0-9]{0,8}")
_ZOOM_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_WOOCOMMERCE = re.compile(rb"webhook_id=[0-9]{1,20}")
_TEXT = re.compile(r"[\x21-\x7e]{1,4096}")

Handshake = Callable[[Scheme, HookRequest, Sequence[str], float], "Reply | None"]


def handshake(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """Return the answer to a handshake; None when it is none. To be asked before :func:`scheme.verify`.

    :raises Rejected: it is one, but a wrong one
    """
    replies = (HANDSHAKES[name](scheme, request, secrets, now) for name in scheme.handshakes)
    return next((reply for reply in replies if reply is not None), None)


def _cloudevents(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#4-abuse-protection"""
    if request.method != "OPTIONS":
        return None
    origin = request.header("webhook-request-origin")
    if origin is None:
        return None
    if not _ORIGIN.fullmatch(origin):
        raise Rejected("WebHook-Request-Origin is no host name")
    asked = request.header("webhook-request-rate") or ""
    rate = asked if _RATE.fullmatch(asked) else "*"
    # The same for each scheme, and for what is no endpoint: its methods would tell which scheme it has.
    return Reply(200, headers=(("allow", "POST"), ("webhook-allowed-origin", origin), ("webhook-allowed-rate", rate)))


def _slack(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://docs.slack.dev/reference/events/url_verification"""
    body = _proven(scheme, request, secrets, now, b"url_verification")
    if at(body, "type") != "url_verification":
        return None
    return echo(_text(at(body, "challenge")))


def _meta(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://developers.facebook.com/docs/graph-api/webhooks/getting-started"""
    query = request.query() if request.method == "GET" else {}
    if query.get("hub.mode") != "subscribe":
        return None
    tokens = [secret.removeprefix(VERIFY_TOKEN) for secret in secrets if secret.startswith(VERIFY_TOKEN)]
    given = secret_bytes(query.get("hub.verify_token", ""))
    if not given or not matches_one(map(secret_bytes, tokens), given):
        raise Rejected(f"hub.verify_token is none of the secrets that begin with {VERIFY_TOKEN}")
    return echo(_text(query.get("hub.challenge")))


def _graph(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://learn.microsoft.com/graph/change-notifications-delivery-webhooks"""
    token = request.query().get("validationToken") if request.method == "POST" else None
    if token is None:
        return None
    if len(token) > MAX_QUESTION:
        raise Rejected("the validationToken is too long")
    return echo(token)


def _xero(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://developer.xero.com/documentation/guides/webhooks/configuring-your-server"""
    body = _proven(scheme, request, secrets, now, b'"events"')
    return Reply(200) if at(body, "events") == [] else None


def _woocommerce(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """A webhook that is saved is pinged, without signature, and wants exactly the status 200."""
    is_ping = request.method == "POST" and _WOOCOMMERCE.fullmatch(request.body)
    return Reply(200) if is_ping and request.header("x-wc-webhook-signature") is None else None


def _zoom(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://developers.zoom.us/docs/api/webhooks/

    Zoom signs the question. Answered unsigned it would sign anything for anybody, deliveries included, so the token
    may not look like one either.
    """
    body = _proven(scheme, request, secrets, now, b"endpoint.url_validation")
    if at(body, "event") != "endpoint.url_validation":
        return None
    token = at(body, "payload.plainToken")
    if not isinstance(token, str) or not _ZOOM_TOKEN.fullmatch(token):
        raise Rejected("the plainToken is none")
    secret = next(secret for secret in secrets if _is_proven_by(scheme, request, secret, now))
    encrypted = hmac.digest(secret_bytes(secret), token.encode(), "sha256").hex()
    return _json({"plainToken": token, "encryptedToken": encrypted})


def _discord(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://discord.com/developers/docs/events/webhook-events and …/interactions/overview"""
    body = _proven(scheme, request, secrets, now, b'"type"')
    kind = at(body, "type")
    if kind == 0:
        return Reply(204, content_type=JSON)
    is_ping = kind == 1 and at(body, "event") is None
    return _json({"type": 1}) if is_ping else None


def _sns(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://docs.aws.amazon.com/sns/latest/dg/sns-http-https-endpoint-as-subscriber.html"""
    kind = request.header("x-amz-sns-message-type")
    if kind not in (CONFIRM, UNSUBSCRIBED) or request.method != "POST":
        return None
    verify(scheme, request, secrets, now)
    body = body_json(request.body)
    if at(body, "Type") != kind:
        raise Rejected("the message is of another type than its header says")
    if kind == UNSUBSCRIBED:
        return Reply(200)  # its address would subscribe again
    url = at(body, "SubscribeURL")
    if not is_confirm_url(url):
        raise Rejected("the SubscribeURL is not one of Amazon SNS")
    return Reply(200, confirm_url=url)


def _notion(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://developers.notion.com/reference/webhooks"""
    return _learned(request, secrets, "x-notion-signature", "verification_token")


def _salesforce_mc(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    """https://developer.salesforce.com/docs/marketing/marketing-cloud/guide/ens-verify-callback.html"""
    return _learned(request, secrets, "x-sfmc-ens-signature", "verificationKey")


def _dropbox(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    challenge = request.query().get("challenge") if request.method == "GET" else None
    return echo(_text(challenge)) if challenge is not None else None


def _okta(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    challenge = request.header("x-okta-verification-challenge") if request.method == "GET" else None
    return _json({"verification": _text(challenge)}) if challenge is not None else None


def _asana(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    secret = request.header("x-hook-secret") if request.method == "POST" else None
    if secret is None or any(secrets):
        return None
    return Reply(200, headers=(("x-hook-secret", _text(secret)),), learned=_secret(secret))


def _trello(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float) -> Reply | None:
    return Reply(200) if request.method == "HEAD" else None


HANDSHAKES: Mapping[str, Handshake] = {
    "cloudevents": _cloudevents,
    "slack": _slack,
    "meta": _meta,
    "graph": _graph,
    "xero": _xero,
    "woocommerce": _woocommerce,
    "zoom": _zoom,
    "discord": _discord,
    "sns": _sns,
    "notion": _notion,
    "salesforce_mc": _salesforce_mc,
    "dropbox": _dropbox,
    "okta": _okta,
    "asana": _asana,
    "trello": _trello,
}

TOLD: Mapping[str, str] = {
    "slack": "a signed `url_verification`: its challenge",
    "meta": "GET with `hub.mode=subscribe` and the verify token: `hub.challenge`",
    "graph": "POST with `validationToken` in the query: the token",
    "xero": "a signed POST without events: an empty 200, or 401",
    "woocommerce": "the ping of a webhook that is saved: 200",
    "zoom": "a signed `endpoint.url_validation`: the token, encrypted",
    "discord": "a signed PING: a PONG, or 204",
    "sns": "a signed `SubscriptionConfirmation`: it is confirmed at Amazon",
    "notion": "`verification_token`: kept to be seen, while there is no secret",
    "salesforce_mc": "`verificationKey`: kept to be seen, while there is no secret",
}
"""What a question looks like and what the answer is, for people; of those that belong to a scheme."""


# --- their parts


def _proven(scheme: Scheme, request: HookRequest, secrets: Sequence[str], now: float, word: bytes) -> Any:
    """Return the JSON of a signed question; None when it cannot be one.

    :param word: what every such question has in it, so that deliveries are not verified twice
    """
    if request.method != "POST" or len(request.body) > MAX_QUESTION or word not in request.body:
        return None
    verify(scheme, request, secrets, now)
    return body_json(request.body)


def _is_proven_by(scheme: Scheme, request: HookRequest, secret: str, now: float) -> bool:
    try:
        verify(scheme, request, [secret], now)
    except Rejected:
        return False
    return True


def _learned(request: HookRequest, secrets: Sequence[str], signature: str, name: str) -> Reply | None:
    """Return the answer to an unsigned request that brings a secret. Once there is one, no other is taken."""
    is_unsigned = request.method == "POST" and request.header(signature) is None
    if not is_unsigned or any(secrets) or len(request.body) > MAX_QUESTION or name.encode() not in request.body:
        return None
    secret = at(body_json(request.body), name)
    return Reply(200, learned=_secret(secret)) if isinstance(secret, str) else None


def _secret(text: str) -> str:
    if len(text) > MAX_SECRET:
        raise Rejected("the secret of the handshake is too long")
    return _text(text)


def _text(value: Any) -> str:
    """Return a text that is given back.

    :raises Rejected: it is none, too long, or has more in it than printable ASCII
    """
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise Rejected("the challenge is none")
    return value


def _json(value: Mapping[str, Any]) -> Reply:
    return Reply(200, json.dumps(value).encode(), JSON, (NOSNIFF,))
