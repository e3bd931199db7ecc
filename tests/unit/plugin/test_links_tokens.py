"""The JWTs of applications that embed FlowMate."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pages_harness import HOME, Site, serving_pages

from flowmate_airflow.auth import embedding

API = "/flowmate/api/v1"


@lru_cache
def _made(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key(number: int = 0) -> rsa.RSAPrivateKey:
    return _made(number)


def pem(private: Any) -> str:
    public = private.public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


def token(private: Any = None, headers: dict[str, Any] | None = None, algorithm: str = "RS256", **claims: Any) -> str:
    given = {"sub": "acme", "exp": int(time.time()) + 600, **claims}
    kept = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(kept, private or key(), algorithm=algorithm, headers=headers)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server for all: nothing is linked here."""
    with pytest.MonkeyPatch.context() as patch, serving_pages(tmp_path_factory.mktemp("site"), patch) as found:
        yield found


@pytest.fixture
def keys(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the application's keys."""
    path = tmp_path / "embedding.pem"
    path.write_text(pem(key()))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__EMBEDDING_KEYS", str(path))
    monkeypatch.setattr(embedding, "_read", None)
    return path


def asked(site: Site, text: str) -> tuple[int, str]:
    answer = site.browser(None).client.get(f"{API}/links", headers={"Authorization": f"Bearer {text}"})
    told = answer.json()
    return answer.status_code, told["error"] if isinstance(told, dict) else ""


def test_a_good_token_is_let_in(site: Site, keys: Path) -> None:
    now = int(time.time())
    assert asked(site, token()) == (200, "")
    assert asked(site, token(iat=now, nbf=now, aud=HOME, iss="anybody", jti="1")) == (200, "")
    assert asked(site, token(aud=["other", HOME])) == (200, "")
    assert asked(site, token(headers={"kid": "of-no-meaning-with-pem"})) == (200, "")


def _part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _forged(header: dict[str, Any], sign: Callable[[bytes], bytes], **claims: Any) -> str:
    body = f"{_part(header)}.{_part({'sub': 'acme', 'exp': int(time.time()) + 600, **claims})}"
    return f"{body}.{_part(sign(body.encode()))}"


def _with_public_key(text: bytes) -> bytes:
    return hmac.new(pem(key()).encode(), text, hashlib.sha256).digest()


def _now(seconds: float) -> int:
    return int(time.time() + seconds)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: _forged({"alg": "none"}, lambda _: b""), "signed by RS256"),
        (lambda: _forged({"alg": "None", "typ": "JWT"}, lambda _: b""), "signed by RS256"),
        (lambda: _forged({"alg": "HS256"}, _with_public_key), "signed by RS256"),
        (lambda: _forged({"alg": "RS256"}, _with_public_key), "signature is not right"),
        (lambda: _forged({"alg": "RS256"}, lambda _: b""), "signature is not right"),
        (lambda: _forged({"alg": ["RS256"]}, lambda _: b""), ""),
        (lambda: _forged({"alg": "RS256", "crit": ["x"]}, lambda _: b""), ""),
        (lambda: _forged({"alg": "RS256", "b64": False, "crit": ["b64"]}, lambda _: b""), ""),
        (lambda: _forged({"alg": "RS256", "jwk": {}, "jku": "https://evil.example"}, lambda _: b""), "signature"),
        (lambda: token(algorithm="RS512"), "signed by RS256"),
        (lambda: token(algorithm="PS256"), "signed by RS256"),
        (lambda: token(ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"), "signed by RS256"),
        (lambda: token(key(1)), "signature is not right"),
        (lambda: token(exp=_now(-600)), "is over"),
        (lambda: token(exp=None), "needs the claims"),
        (lambda: token(sub=None), "needs the claims"),
        (lambda: token(exp="soon"), "not valid"),
        (lambda: token(exp=_now(600), nbf=_now(300)), "compare the clocks"),
        (lambda: token(iat=_now(600), exp=_now(900)), "compare the clocks"),
        (lambda: token(exp=_now(7200)), "longer than 3,600 seconds"),
        (lambda: token(iat=_now(-3000), exp=_now(3000)), "longer than 3,600 seconds"),
        (lambda: token(aud="https://other.example"), "`aud`"),
        (lambda: token(aud=[]), "`aud`"),
        (lambda: token(sub="a/b"), "`sub`"),
        (lambda: token(sub=""), "`sub`"),
        (lambda: token(sub="a" * 300), "`sub`"),
        (lambda: token(sub='x"y'), "`sub`"),
        (lambda: token(sub="default"), "template of all tenants"),
        (lambda: _signed({"sub": 7, "exp": _now(600)}), "`sub`"),
        (lambda: _signed({"sub": ["acme"], "exp": _now(600)}), "`sub`"),
        (lambda: _signed(b'{"sub": "acme", "exp": 1e999}'), ""),
        (lambda: _signed(b'{"sub": "acme", "exp": true}'), ""),
        (lambda: _signed(b"[" * 50_000), ""),
        (lambda: _signed(b"[]"), ""),
        (lambda: _signed(b"\xff"), ""),
        (lambda: "x", "no JWT"),
        (lambda: "a.b.c", "no JWT"),
        (lambda: "." * 100, "no JWT"),
        (lambda: "x" * 10_000, "more than 8,192 characters"),
    ],
)
def test_a_bad_token_is_refused_in_a_sentence(site: Site, keys: Path, make: Callable[[], str], reason: str) -> None:
    status, text = asked(site, make())
    assert status == 401
    assert reason in text
    assert len(text) < 120


def _signed(claims: Any) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    body = f"{_part({'alg': 'RS256'})}.{_part(claims)}"
    return f"{body}.{_part(key().sign(body.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def test_who_sends_no_token_is_told_how(site: Site, keys: Path) -> None:
    client = site.browser("ann").client
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
        answer = client.get(f"{API}/links", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_clock_that_is_a_little_off_does_not_matter(site: Site, keys: Path) -> None:
    assert asked(site, token(iat=_now(30), exp=_now(630)))[0] == 200
    assert asked(site, token(exp=_now(-30)))[0] == 200


def test_keys_are_replaced_without_a_restart(site: Site, keys: Path) -> None:
    old, new = token(), token(key(1))
    keys.write_text(f"{pem(key())}\n{pem(key(1))}")
    assert (asked(site, old)[0], asked(site, new)[0]) == (200, 200)
    keys.write_text(pem(key(1)))
    assert (asked(site, old)[0], asked(site, new)[0]) == (401, 200)


def _jwk(number: int, **more: Any) -> dict[str, Any]:
    from jwt.algorithms import RSAAlgorithm

    return {**RSAAlgorithm.to_jwk(key(number).public_key(), as_dict=True), **more}


def test_a_jwks_says_which_key_it_is(site: Site, keys: Path) -> None:
    other = {"kty": "EC", "crv": "P-256", "kid": "ec"}
    keys.write_text(json.dumps({"keys": [_jwk(0, kid="a"), _jwk(1, kid="b", use="sig", alg="RS256"), other]}))
    assert asked(site, token(headers={"kid": "a"}))[0] == 200
    assert asked(site, token(key(1), headers={"kid": "b"}))[0] == 200
    assert asked(site, token())[0] == 200
    assert asked(site, token(headers={"kid": "b"})) == (401, "the token's signature is not right")
    for kid in ("c", "", "ec"):
        assert "not known here" in asked(site, token(headers={"kid": kid}))[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        "{}",
        '{"keys": []}',
        '{"keys": [1]}',
        '{"keys": {"kty": "RSA"}}',
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "ec",
        "private",
        "private jwk",
        "small",
        "many",
    ],
)
def test_a_file_that_has_no_keys_lets_nobody_in(
    site: Site, keys: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    form = serialization.PrivateFormat.PKCS8
    made = {
        "ec": lambda: pem(ec.generate_private_key(ec.SECP256R1())),
        "private": lambda: key().private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode(),
        "private jwk": lambda: json.dumps({"keys": [_private_jwk()]}),
        "small": lambda: pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
        "many": lambda: pem(key()) * 21,
    }
    keys.write_text(made[text]() if text in made else text)
    status, told = asked(site, token())
    assert status == 409
    assert "the server's log" in told
    assert "[flowmate] embedding_keys" in caplog.text
    assert "PRIVATE" not in caplog.text


def _private_jwk() -> dict[str, Any]:
    from jwt.algorithms import RSAAlgorithm

    found: dict[str, Any] = RSAAlgorithm.to_jwk(key(), as_dict=True)
    return found


def test_without_keys_no_token_is_taken(site: Site, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__EMBEDDING_KEYS", "")
    assert asked(site, token())[0] == 401
    monkeypatch.setenv("AIRFLOW__FLOWMATE__EMBEDDING_KEYS", str(keys.parent / "nothing"))
    assert asked(site, token())[0] == 409
