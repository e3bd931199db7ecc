"""The grant JWT bearer at a token address that checks the assertion, and a client that shows a certificate."""

from __future__ import annotations

import ssl
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID
from nasty import Nasty

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.jwtbearer import assertion
from flowmate_airflow.auth.oauth2 import Client, client_of, first_grant, renew, values_of
from flowmate_airflow.catalog.oauth import JwtBearer, OAuth2

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def private(key: Any, password: bytes | None = None) -> str:
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    text: str = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()
    return text


def public(key: Any) -> str:
    text: str = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return text


def method_of(nasty: Nasty, **more: Any) -> OAuth2:
    return OAuth2.model_validate(
        {
            "type": "oauth2",
            "grant": "jwt_bearer",
            "token_url": f"{nasty.url}/token",
            "private": True,
            "scopes": {"read": "why"},
            **{"jwt": {"claims": {"scope": "{scope}"}}, **more},
        }
    )


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (RSA, "RS512"), (EC, "ES256")])
def test_an_assertion_brings_a_token(nasty: Nasty, key: Any, algorithm: str) -> None:
    nasty.public_key = public(key)
    method = method_of(nasty, jwt={"algorithm": algorithm, "claims": {"scope": "{scope}"}, "key_id": "key-1"})
    account = Account("c", nasty.client_id, private(key))
    client = client_of(method, account, None)
    login = first_grant(method, values_of(method, account, client), client)
    assert nasty.is_valid(login.grant.access_token)
    assert login.grant.scope == "read"
    (call,) = nasty.called("/token")
    assert set(call.form) == {"grant_type", "assertion"}  # and never the key
    assert jwt.get_unverified_header(call.form["assertion"])["kid"] == "key-1"
    again = renew(method, values_of(method, account, client), client, login.grant)
    assert again.grant.access_token != login.grant.access_token
    first, second = (
        jwt.decode(each.form["assertion"], options={"verify_signature": False})["jti"]
        for each in nasty.called("/token")
    )
    assert first != second


def test_the_claims_are_those_of_the_manifest() -> None:
    found = assertion(
        JwtBearer(
            issuer="{client_id}",
            subject="{user}@example.com",
            audience="https://{host}",
            lifetime=600,
            claims={"scope": "{scope}", "nested": {"list": ["{user}", 1, True]}},
        ),
        {"client_id": "me", "user": "ada", "host": "login.example.com", "scope": "a b"},
        Client("me", private(RSA)),
        "https://t.example.com/token",
        1_900_000_000.9,
    )
    claims = jwt.decode(found, options={"verify_signature": False})
    assert len(claims.pop("jti")) >= 32
    assert claims == {
        "iss": "me",
        "sub": "ada@example.com",
        "aud": "https://login.example.com",
        "iat": 1_900_000_000 - 30,
        "exp": 1_900_000_000 - 30 + 600,
        "scope": "a b",
        "nested": {"list": ["ada", 1, True]},
    }


def test_the_scope_is_a_parameter_where_no_claim_has_it(nasty: Nasty) -> None:
    nasty.public_key = public(RSA)
    method = method_of(nasty, jwt={})
    first_grant(method, {"client_id": nasty.client_id}, Client(nasty.client_id, private(RSA)))
    assert nasty.called("/token")[0].form["scope"] == "read"


def test_a_key_that_was_copied_out_of_json(nasty: Nasty) -> None:
    nasty.public_key = public(RSA)
    client = Client(nasty.client_id, private(RSA).replace("\n", "\\n"))
    assert first_grant(method_of(nasty, jwt={}), {"client_id": nasty.client_id}, client).grant.access_token


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (None, "no private key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAAcanary\n-----END PRIVATE KEY-----", "no private key without a passphrase"),
        ("just-a-canary", "no private key without a passphrase"),
        (private(RSA, b"secret"), "no private key without a passphrase"),
        (private(EC), "does not sign RS256"),
        ("ü", "no private key without a passphrase"),
    ],
)
def test_a_key_that_is_none(nasty: Nasty, key: str | None, text: str) -> None:
    with pytest.raises(LoginError, match=text) as caught:
        first_grant(method_of(nasty, jwt={}), {"client_id": "c"}, Client("c", key))
    assert caught.value.kind == "config"
    assert "canary" not in caught.value.text
    assert nasty.calls == []


def test_another_key_is_refused(nasty: Nasty) -> None:
    nasty.public_key = public(rsa.generate_private_key(65537, 2048))
    values = {"client_id": nasty.client_id}
    client = Client(nasty.client_id, private(RSA))
    with pytest.raises(LoginError, match="InvalidSignatureError") as caught:
        first_grant(method_of(nasty, jwt={}), values, client)
    assert caught.value.kind == "refused"
    sent = nasty.called("/token")[0].form["assertion"]
    assert sent not in caught.value.text


# --- a certificate of the client (RFC 8705)


def certificate_of(key: Any, name: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A token address that asks for the client's certificate and tells whose it was."""
    own = certificate_of(EC, "localhost")
    (tmp_path / "server.pem").write_text(own + private(EC))
    (tmp_path / "client.pem").write_text(certificate_of(RSA, "the-client"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    context.load_verify_locations(tmp_path / "client.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            names = dict(pair[0] for pair in self.connection.getpeercert()["subject"])  # type: ignore[attr-defined]
            body = f'{{"access_token": "token-of-{names["commonName"]}"}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Quiet(HTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "server.pem"))
    yield f"https://localhost:{server.server_port}/token"
    server.shutdown()
    server.server_close()


def test_a_client_shows_its_certificate(certified: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    method = OAuth2.model_validate(
        {"type": "oauth2", "grant": "client_credentials", "token_url": certified, "private": True, "mtls": True}
    )
    pair = {"certificate": (tmp_path / "client.pem").read_text(), "private_key": private(RSA)}
    client = client_of(method, Account("c", "id", "secret", extra=pair), None)
    assert first_grant(method, {}, client).grant.access_token == "token-of-the-client"
    assert list(folder.iterdir()) == []
    without = method.model_copy(update={"mtls": False})
    with pytest.raises(LoginError) as caught:
        first_grant(without, {}, client)
    assert caught.value.kind == "transient"


@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        (None, None, "`certificate` in the extra"),
        (certificate_of(RSA, "c"), None, "no private key: it is `private_key` in the extra"),
        (certificate_of(RSA, "c"), private(RSA, b"passphrase"), "`private_key` in the extra"),
        ("no certificate", private(RSA), "`certificate` in the extra"),
    ],
)
def test_a_certificate_that_is_none(certificate: str | None, key: str | None, text: str) -> None:
    method = OAuth2.model_validate(
        {"type": "oauth2", "grant": "client_credentials", "token_url": "https://a.example.com", "mtls": True}
    )
    with pytest.raises(LoginError, match=text) as caught:
        first_grant(method, {}, Client("c", "s", certificate, key))
    assert caught.value.kind == "config"
