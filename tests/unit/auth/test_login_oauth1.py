"""OAuth 1 at a server whose signatures oauthlib checks: three legs, two legs, and every way to sign."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from oauth1_server import OAuth1Server

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.oauth1 import begin, finish
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.auth.values import Client, values_of
from flowmate_airflow.auth.verify import verify
from flowmate_airflow.catalog.oauth import OAuth1

BACK = "https://flowmate.example.com/back?x=1"


@pytest.fixture(scope="module")
def rsa_key() -> tuple[str, str]:
    """A private key and its public one, as PEM."""
    key = rsa.generate_private_key(65537, 2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def log_in(server: OAuth1Server, method: OAuth1, client: Client) -> Login:
    values = values_of(method, Account("c"), client)
    url, token, secret = begin(method, values, client, BACK)
    returned = server.consent(url)
    assert returned["oauth_token"] == token
    return finish(method, values, client, token, secret, returned["oauth_verifier"])


def view_of(client: Client, login: Login) -> Account:
    """The Connection as a task gets it."""
    extra = {"consumer_secret": client.client_secret, "token_secret": login.grant.token_secret}
    return Account("c", client.client_id, login.grant.access_token, extra=extra)


WAYS = [
    *((signature, place) for signature in ("HMAC-SHA1", "HMAC-SHA256") for place in ("header", "query", "body")),
    ("PLAINTEXT", "header"),
    ("RSA-SHA1", "header"),
    ("RSA-SHA256", "body"),
]


@pytest.mark.parametrize(("signature", "place"), WAYS)
def test_three_legs_end_in_an_api(
    oauth1_server: OAuth1Server, rsa_key: tuple[str, str], signature: str, place: str
) -> None:
    private, oauth1_server.public_key = rsa_key
    method = OAuth1.model_validate(oauth1_server.auth(signature=signature, signature_place=place))
    secret = private if signature.startswith("RSA") else oauth1_server.consumer_secret
    client = Client(oauth1_server.consumer_key, secret)
    login = log_in(oauth1_server, method, client)
    assert login.metadata == {"extra.user_id": "42"}
    assert (login.grant.token_type, login.grant.expires_at) == ("oauth1", None)
    account = view_of(client, login)
    assert verify(method, account, {}) == {"extra.account": "7"}
    posted = method.model_copy(update={"verify": method.verify.model_copy(update={"method": "POST"})})  # type: ignore[union-attr]
    assert verify(posted, account, {}) == {"extra.account": "7"}


def test_a_wrong_secret_of_the_token_is_found_out(oauth1_server: OAuth1Server) -> None:
    method = OAuth1.model_validate(oauth1_server.auth())
    client = Client(oauth1_server.consumer_key, oauth1_server.consumer_secret)
    account = view_of(client, log_in(oauth1_server, method, client))
    wrong = Account("c", account.login, account.password, extra={**account.extra, "token_secret": "another"})
    with pytest.raises(LoginError, match="the credentials are not right") as caught:
        verify(method, wrong, {})
    assert caught.value.kind == "refused"


@pytest.mark.parametrize("signature", ["HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1"])
def test_two_legs_have_a_consumer_alone(oauth1_server: OAuth1Server, rsa_key: tuple[str, str], signature: str) -> None:
    private, oauth1_server.public_key = rsa_key
    method = OAuth1.model_validate(oauth1_server.machine_auth(signature=signature))
    secret = private if signature.startswith("RSA") else oauth1_server.consumer_secret
    assert verify(method, Account("c", oauth1_server.consumer_key, secret), {}) == {}
    other = Account("c", "another-consumer", secret)
    with pytest.raises(LoginError, match="the signature is not right"):
        verify(method, other, {})


def test_the_consent_has_what_the_manifest_adds(oauth1_server: OAuth1Server) -> None:
    method = OAuth1.model_validate(
        oauth1_server.auth(authorize_params={"name": "Flow & Mate", "oauth_token": "mine"}, realm="records")
    )
    url, token, _ = begin(method, {}, Client(oauth1_server.consumer_key, oauth1_server.consumer_secret), BACK)
    assert url == f"{oauth1_server.url}/authorize?name=Flow+%26+Mate&oauth_token={token}"


def test_a_provider_that_does_not_confirm_the_way_back_is_none(oauth1_server: OAuth1Server) -> None:
    oauth1_server.confirms = False
    method = OAuth1.model_validate(oauth1_server.auth())
    with pytest.raises(LoginError, match="does not confirm"):
        begin(method, {}, Client(oauth1_server.consumer_key, oauth1_server.consumer_secret), BACK)


@pytest.mark.parametrize(
    ("client", "signature", "text"),
    [
        (Client("the-consumer-of-flowmate", "wrong"), "HMAC-SHA1", "401"),
        (Client("the-consumer-of-flowmate"), "HMAC-SHA1", "no secret to sign with"),
        (Client("the-consumer-of-flowmate", "no key"), "RSA-SHA1", "the consumer's secret is no private key"),
    ],
)
def test_a_consumer_that_cannot_sign(oauth1_server: OAuth1Server, client: Client, signature: str, text: str) -> None:
    method = OAuth1.model_validate(oauth1_server.auth(signature=signature))
    with pytest.raises(LoginError, match=text):
        begin(method, {}, client, BACK)


def test_a_verifier_is_good_for_its_own_token(oauth1_server: OAuth1Server) -> None:
    method = OAuth1.model_validate(oauth1_server.auth())
    client = Client(oauth1_server.consumer_key, oauth1_server.consumer_secret)
    first, second = (begin(method, {}, client, BACK) for _ in range(2))
    verifiers = [oauth1_server.consent(url)["oauth_verifier"] for url, _, _ in (first, second)]
    with pytest.raises(LoginError):
        finish(method, {}, client, *first[1:], verifiers[1])


def test_what_is_signed_is_in_no_log(oauth1_server: OAuth1Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    oauth1_server.consumer_secret = "a-canary-of-a-secret"
    method = OAuth1.model_validate(oauth1_server.auth(signature="PLAINTEXT"))
    client = Client(oauth1_server.consumer_key, oauth1_server.consumer_secret)
    ours: list[Any] = []
    login = log_in(oauth1_server, method, client)
    verify(method, view_of(client, login), {})
    ours = [record for record in caplog.records if record.threadName == "MainThread"]
    told = "\n".join(record.getMessage() for record in ours)
    for secret in ("a-canary-of-a-secret", login.grant.access_token, login.grant.token_secret):
        assert secret not in told
