"""The table of schemes: what each provider says of its webhooks.

Sources of the facts: the providers' documentation of their webhooks' security, and their own libraries, against which
the tests hold this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from flowmate_airflow.webhooks.bodyproofs import ClientState, Organization
from flowmate_airflow.webhooks.options import OF_HMAC
from flowmate_airflow.webhooks.proofs import Either, Stamp, Token, UrlToken
from flowmate_airflow.webhooks.requests import Reply
from flowmate_airflow.webhooks.scheme import Scheme
from flowmate_airflow.webhooks.signatures import SECRET_PREFIX, Hmac, PublicKey, Signature
from flowmate_airflow.webhooks.sns import AmazonSignature
from flowmate_airflow.webhooks.sources import DIGEST, Source, in_body, in_header

OK = Reply(200)
NO_CONTENT = Reply(204)
TWIML = Reply(200, b'<?xml version="1.0" encoding="UTF-8"?><Response/>', "text/xml")
SOAP_ACK = Reply(
    200,
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>",
    "text/xml; charset=utf-8",
)

CHANGES = ("POST", "PUT", "PATCH")
ANY = (*CHANGES, "DELETE", "GET")
CLOUDEVENTS = "cloudevents"


def _standard(prefix: str, algorithm: Hmac | PublicKey) -> Signature:
    return Signature(
        "webhook-signature",
        "{header:webhook-id}.{timestamp}.{body}",
        algorithm,
        "base64",
        prefix,
        separator=" ",
        stamp=Stamp("webhook-timestamp"),
    )


_ROWS = (
    Scheme(
        "standard",
        "Standard Webhooks, Svix",
        f"the secret, base64 after `{SECRET_PREFIX}`; or the public key, `whpk_…`",
        # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
        Either((_standard("v1,", Hmac(is_base64=True)), _standard("v1a,", PublicKey("ed25519")))),
        (in_header("webhook-id"),),
        (in_body("type"),),
        alias=("svix-", "webhook-"),
    ),
    Scheme(
        "github",
        "GitHub",
        "the webhook's secret",
        Signature("x-hub-signature-256", prefix="sha256="),
        (in_header("x-github-delivery"),),
        (in_header("x-github-event"),),
    ),
    Scheme(
        "gitlab",
        "GitLab",
        "the webhook's secret token",
        Token("x-gitlab-token"),
        (in_header("idempotency-key"),),
        (in_header("x-gitlab-event"),),
        ack=OK,
    ),
    Scheme(
        "stripe",
        "Stripe",
        f"the endpoint's signing secret, with its `{SECRET_PREFIX}`",
        Signature("stripe-signature", "{timestamp}.{body}", prefix="v1=", separator=",", stamp=Stamp(item="t=")),
        (in_body("id"),),
        (in_body("type"),),
        ack=OK,
    ),
    Scheme(
        "shopify",
        "Shopify",
        "the app's client secret",
        Signature("x-shopify-hmac-sha256", encoding="base64"),
        (in_header("x-shopify-webhook-id"),),
        (in_header("x-shopify-topic"),),
        ack=OK,
    ),
    Scheme(
        "slack",
        "Slack",
        "the app's signing secret",
        Signature(
            "x-slack-signature",
            "v0:{timestamp}:{body}",
            prefix="v0=",
            stamp=Stamp("x-slack-request-timestamp"),
        ),
        (in_body("event_id"),),
        (in_body("event.type"), in_body("type")),
        ("slack", CLOUDEVENTS),
        OK,
    ),
    Scheme(
        "hubspot",
        "HubSpot (signatures of version 3)",
        "the app's client secret",
        Signature(
            "x-hubspot-signature-v3",
            "{method}{url}{body}{timestamp}",
            encoding="base64",
            stamp=Stamp("x-hubspot-request-timestamp", unit="ms"),
            url="hubspot",
        ),
        # A batch that is tried again has the same events with another attemptNumber.
        (in_body("*.eventId", "*.subscriptionId", "*.occurredAt"),),
        (in_body("0.subscriptionType"),),
        ack=OK,
    ),
    Scheme(
        "zendesk",
        "Zendesk",
        "the webhook's signing secret",
        Signature(
            "x-zendesk-webhook-signature",
            "{timestamp}{body}",
            encoding="base64",
            stamp=Stamp("x-zendesk-webhook-signature-timestamp", unit="iso"),
        ),
        (in_header("x-zendesk-webhook-invocation-id"),),
        (in_body("type"),),
        ack=OK,
    ),
    Scheme(
        "xero",
        "Xero",
        "the webhook's signing key",
        Signature("x-xero-signature", encoding="base64"),
        (in_body("firstEventSequence", "lastEventSequence", "events.0.tenantId"),),
        (),
        ("xero", CLOUDEVENTS),
        OK,
    ),
    Scheme(
        "woocommerce",
        "WooCommerce",
        "the webhook's secret",
        Signature("x-wc-webhook-signature", encoding="base64"),
        # Its delivery id is made of the time, so that it is neither the same at a retry nor one delivery's alone.
        (Source((*in_header("x-wc-webhook-topic").parts, DIGEST)),),
        (in_header("x-wc-webhook-topic"),),
        ("woocommerce", CLOUDEVENTS),
        OK,
    ),
    Scheme(
        "typeform",
        "Typeform",
        "the webhook's secret",
        Signature("typeform-signature", encoding="base64", prefix="sha256="),
        (in_body("event_id"),),
        (in_body("event_type"),),
        ack=OK,
    ),
    Scheme(
        "twilio",
        "Twilio",
        "the account's auth token",
        # https://www.twilio.com/docs/usage/security
        Signature("x-twilio-signature", "{url}{form}", Hmac("sha1"), "base64", url="twilio"),
        (in_header("i-twilio-idempotency-token"),),
        ack=TWIML,
        methods=("POST", "GET"),
        options=("algorithm",),
    ),
    Scheme(
        "meta",
        "Meta: Facebook, Instagram, WhatsApp",
        "the app secret; in `extra.secrets` the verify token, as `verify:TOKEN`",
        Signature("x-hub-signature-256", prefix="sha256="),
        (),
        (in_body("object"),),
        ("meta", CLOUDEVENTS),
        OK,
    ),
    Scheme(
        "microsoft_graph",
        "Microsoft Graph",
        "the subscription's clientState",
        ClientState(),
        (),
        (in_body("value.0.changeType"), in_body("value.0.lifecycleEvent")),
        ("graph", CLOUDEVENTS),
    ),
    Scheme(
        "atlassian",
        "Atlassian: Jira, Bitbucket",
        "the webhook's secret",
        Signature("x-hub-signature", prefix="sha256="),
        (in_header("x-atlassian-webhook-identifier"), in_header("x-request-uuid")),
        (in_header("x-event-key"), in_body("webhookEvent")),
        ack=OK,
    ),
    Scheme(
        "notion",
        "Notion",
        "the verification token that the first request brings",
        Signature("x-notion-signature", prefix="sha256="),
        (in_body("id"),),
        (in_body("type"),),
        ("notion", CLOUDEVENTS),
        OK,
    ),
    Scheme(
        "linear",
        "Linear",
        "the webhook's signing secret",
        Signature("linear-signature", stamp=Stamp(path="webhookTimestamp", unit="ms", tolerance=60)),
        (in_header("linear-delivery"),),
        (in_header("linear-event"),),
        ack=OK,
    ),
    Scheme(
        "pagerduty",
        "PagerDuty",
        "the webhook's secret",
        Signature("x-pagerduty-signature", prefix="v1=", separator=","),
        (in_body("event.id"),),
        (in_body("event.event_type"),),
    ),
    Scheme(
        "zoom",
        "Zoom",
        "the app's secret token",
        Signature("x-zm-signature", "v0:{timestamp}:{body}", prefix="v0=", stamp=Stamp("x-zm-request-timestamp")),
        (),
        (in_body("event"),),
        ("zoom", CLOUDEVENTS),
        OK,
    ),
    Scheme(
        "calendly",
        "Calendly",
        "the subscription's signing key",
        Signature(
            "calendly-webhook-signature",
            "{timestamp}.{body}",
            prefix="v1=",
            separator=",",
            stamp=Stamp(item="t=", tolerance=180),
        ),
        (),
        (in_body("event"),),
        ack=OK,
    ),
    Scheme(
        "paddle",
        "Paddle",
        "the destination's secret key",
        # Paddle's own library takes 5 seconds, less than many clocks differ; what is sent again is known by its id.
        Signature("paddle-signature", "{timestamp}:{body}", prefix="h1=", separator=";", stamp=Stamp(item="ts=")),
        (in_body("event_id"),),
        (in_body("event_type"),),
        ack=OK,
    ),
    Scheme(
        "customerio",
        "Customer.io",
        "the reporting webhook's signing key",
        Signature("x-cio-signature", "v0:{timestamp}:{body}", stamp=Stamp("x-cio-timestamp")),
        (in_body("event_id"),),
        (in_body("metric"),),
        ack=OK,
    ),
    Scheme(
        "salesforce",
        "Salesforce outbound messages",
        "the organization's id",
        Organization(),
        ack=SOAP_ACK,
        needs_url_token=True,
    ),
    Scheme(
        "salesforce_mc",
        "Salesforce Marketing Cloud (Event Notification Service)",
        "the callback's signature key",
        Signature("x-sfmc-ens-signature", encoding="base64"),
        handshakes=("salesforce_mc", CLOUDEVENTS),
        ack=OK,
    ),
    Scheme(
        "discord",
        "Discord",
        "the application's public key",
        Signature(
            "x-signature-ed25519",
            "{timestamp}{body}",
            PublicKey("ed25519"),
            stamp=Stamp("x-signature-timestamp"),
        ),
        (in_body("id"),),
        (in_body("event.type"),),
        ("discord", CLOUDEVENTS),
        NO_CONTENT,
    ),
    Scheme(
        "sendgrid",
        "SendGrid",
        "the event webhook's verification key",
        Signature(
            "x-twilio-email-event-webhook-signature",
            "{timestamp}{body}",
            PublicKey("ecdsa"),
            "base64",
            stamp=Stamp("x-twilio-email-event-webhook-timestamp"),
        ),
        (in_body("*.sg_event_id"),),
        ack=OK,
    ),
    Scheme(
        "sns",
        "Amazon SNS",
        "the topic's ARN",
        AmazonSignature(),
        (in_body("MessageId"),),
        (in_body("Subject"),),
        ("sns", CLOUDEVENTS),
        OK,
    ),
    Scheme(
        "hotglue",
        "hotglue",
        "the webhook's secret",
        Signature("x-hub-signature", algorithm=Hmac("sha1")),
        ack=OK,
    ),
    Scheme(
        "hmac",
        "Any sender that signs with an HMAC",
        "the secret",
        Signature("x-signature"),
        methods=CHANGES,
        options=OF_HMAC,
    ),
    Scheme(
        "bearer",
        "Any sender with a bearer token",
        "the token",
        Token("authorization", "Bearer "),
        methods=ANY,
    ),
    Scheme(
        "basic",
        "Any sender with HTTP basic authentication",
        "`USER:PASSWORD`",
        Token("authorization", "Basic ", is_base64=True),
        methods=ANY,
    ),
    Scheme(
        "token_header",
        "Any sender with a secret in a header",
        "the secret",
        Token("x-webhook-token"),
        methods=ANY,
        options=("header", "prefix"),
    ),
    Scheme(
        "token",
        "Any sender: whoever knows the URL is let in",
        "nothing; no Connection is needed",
        UrlToken(),
        methods=ANY,
        needs_url_token=True,
    ),
)

SCHEMES: Mapping[str, Scheme] = MappingProxyType({row.name: row for row in _ROWS})
"""Every scheme by its name."""
