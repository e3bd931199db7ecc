"""Providers that answer badly: each ends in one error that says what, and whether trying again may help."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nasty as played
import pytest
from nasty import Failure, Nasty, raw, refused

from flowmate_airflow.auth import http
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.oauth2 import (
    Client,
    authorization_url,
    code_of,
    exchange,
    first_grant,
    renew,
    revoke,
)
from flowmate_airflow.catalog.oauth import OAuth2

BACK = "https://flowmate.example.com/back"
REFRESH = "the-refresh-token/+of ada"
OLD = Grant("the-access-token-of-ada", REFRESH)


def method_of(nasty: Nasty, **more: Any) -> OAuth2:
    return OAuth2.model_validate(nasty.auth(**more))


def client_of(nasty: Nasty) -> Client:
    return Client(nasty.client_id, nasty.client_secret)


def failed_renewal(nasty: Nasty, failure: Failure, **more: Any) -> LoginError:
    nasty.next(failure)
    with pytest.raises(LoginError) as caught:
        renew(method_of(nasty, **more), {}, client_of(nasty), OLD)
    return caught.value


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (played.html, "transient", "HTML, not JSON"),
        (played.busy, "transient", "429 Too Many Requests: slow_down"),
        (played.broken, "transient", "503 Service Unavailable"),
        (played.cut_before, "transient", "connection to 127.0.0.1 failed"),
        (played.elsewhere, "config", "307 Temporary Redirect; redirects are not followed"),
        (refused("temporarily_unavailable"), "transient", "temporarily_unavailable"),
        (refused("invalid_grant"), "needs_reauth", "400 Bad Request: invalid_grant"),
        (refused("invalid_grant", 401), "needs_reauth", "401 Unauthorized: invalid_grant"),
        (refused("bad_refresh_token", 200), "needs_reauth", "bad_refresh_token"),
        (refused("invalid_client", 401), "config", "invalid_client"),
        (refused("invalid_scope", error_description="no such scope"), "config", "invalid_scope: no such scope"),
        (refused("whatever", 403), "refused", "403 Forbidden: whatever"),
        (raw(b'{"error": {"message": "It is over", "type": "Gone", "code": 190}}', 400), "refused", "Gone: It is over"),
        (raw(b"<?xml version='1.0'?><a/>"), "transient", "XML, not JSON"),
        (raw(b"<html>not here</html>", 404), "config", "404 Not Found with HTML"),
        (raw(b"", 200), "transient", "with nothing"),
        (raw(b"", 401), "refused", "401 Unauthorized with nothing"),
        (raw(b"no", 400), "refused", "400 Bad Request with what is neither JSON nor a form"),
        (raw(b"<html>blocked</html>", 403), "transient", "403 Forbidden with HTML"),
        (raw(b'{"errors": [{"code": 32, "message": "Not you"}]}', 401), "refused", "401 Unauthorized: Not you"),
        (raw(b'{"errors": ["x"]}', 401), "refused", "answered 401 Unauthorized"),
        (raw(b"oauth_problem=token_rejected", 401), "refused", "401 Unauthorized: token_rejected"),
        (raw(b"null"), "transient", "neither JSON nor a form"),
        (raw(b"\xff\xfe{}"), "transient", "neither JSON nor a form"),
        (raw(b"[" * 100_000), "transient", "neither JSON nor a form"),
        (raw(b"Internal error, sorry"), "transient", "neither JSON nor a form"),
        (raw(b"[]"), "config", "has no access token"),
        (raw(b'"text"'), "config", "has no access token"),
        (raw(b"{}"), "config", "has no access token"),
        (raw(b'{"access_token": ""}'), "config", "has no access token"),
        (raw(b'{"access_token": 5}'), "config", "has no access token"),
        (raw(b'{"access_token": {"a": 1}}'), "config", "has no access token"),
        (raw(b'{"access_token": "a\\r\\nX-Evil: 1"}'), "config", "characters that no header can carry"),
        (raw(b'{"access_token": "a", "refresh_token": "\\u0000"}'), "config", "refresh token of 127.0.0.1 has char"),
        (raw(json.dumps({"access_token": "a" * 300_000}).encode()), "config", "longer than 256 KiB"),
        (raw(b" " * (http.MAX_ANSWER + 1)), "transient", "more than 1,024 KiB"),
        (raw(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip"), "transient", "more than 1,024 KiB"),
        (raw(b"not gzip", Content_Encoding="gzip"), "transient", "cannot be unpacked"),
    ],
)
def test_a_bad_answer_is_one_error(nasty: Nasty, failure: Failure, kind: str, text: str) -> None:
    error = failed_renewal(nasty, failure)
    assert text in error.text
    assert error.kind == kind
    assert len(nasty.called("/token")) == 1


def test_a_provider_says_when_to_come_again(nasty: Nasty) -> None:
    assert failed_renewal(nasty, played.busy).retry_after == 17
    assert failed_renewal(nasty, raw(b"", 503, Retry_After="5")).retry_after == 5
    assert failed_renewal(nasty, raw(b"", 503, Retry_After="soon")).retry_after is None


def test_a_code_that_is_worth_nothing_is_no_grant_that_was_lost(nasty: Nasty) -> None:
    with pytest.raises(LoginError, match="invalid_grant") as caught:
        exchange(method_of(nasty), {}, client_of(nasty), BACK, "a-code-of-another", "v" * 43)
    assert caught.value.kind == "refused"


def test_without_a_refresh_token_only_a_login_helps(nasty: Nasty) -> None:
    with pytest.raises(LoginError, match="gave no refresh token") as caught:
        renew(method_of(nasty), {}, client_of(nasty), Grant("a"))
    assert caught.value.kind == "needs_reauth"
    assert nasty.called("/token") == []
    with pytest.raises(LoginError, match="consent"):
        first_grant(method_of(nasty), {}, client_of(nasty))


@pytest.mark.parametrize("failure", [played.cut_after, played.cut_within])
def test_a_provider_dies_after_it_has_rotated(nasty: Nasty, failure: Failure) -> None:
    method, client = method_of(nasty), client_of(nasty)
    url, verifier = authorization_url(method, {}, client, BACK, "s")
    grant = exchange(method, {}, client, BACK, code_of(method, {}, nasty.consent(url)), verifier).grant
    nasty.next(failure)
    with pytest.raises(LoginError) as caught:
        renew(method, {}, client, grant)
    assert caught.value.kind == "transient"  # whether it has rotated, nobody can know
    assert nasty.refreshes == 1
    with pytest.raises(LoginError) as caught:
        renew(method, {}, client, grant)
    assert caught.value.kind == "needs_reauth"
    assert nasty.reused == 1


def test_an_answer_that_does_not_come_ends(nasty: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SECONDS", 0.2)
    error = failed_renewal(nasty, played.held)
    assert "did not answer within" in error.text
    assert error.kind == "transient"


@contextmanager
def dripping() -> Iterator[str]:
    """A server that sends a byte of an answer now and then, for as long as it can."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not over.wait(0.02):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        thread.join(60)
        listener.close()


def test_an_answer_that_comes_drop_by_drop_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SECONDS", 0.3)
    with dripping() as url:
        method = OAuth2.model_validate(
            {"type": "oauth2", "grant": "client_credentials", "token_url": f"{url}/token", "private": True}
        )
        with pytest.raises(LoginError, match="did not answer within") as caught:
            first_grant(method, {}, Client("a", "b"))
    assert caught.value.kind == "transient"


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    method = OAuth2.model_validate(
        {"type": "oauth2", "grant": "client_credentials", "token_url": f"http://127.0.0.1:{port}", "private": True}
    )
    with pytest.raises(LoginError, match=r"connection to 127\.0\.0\.1 failed") as caught:
        first_grant(method, {}, Client("a", "b"))
    assert caught.value.kind == "transient"


# --- where requests may go


def machine(url: str, **more: Any) -> OAuth2:
    return OAuth2.model_validate({"type": "oauth2", "grant": "client_credentials", "token_url": url, **more})


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://127.0.0.1/token", "127.0.0.1 has no address on the public internet"),
        ("https://169.254.169.254/latest", "169.254.169.254 has no address on the public internet"),
        ("https://[::1]/token", "::1 has no address on the public internet"),
        ("http://a.example.com/token", "without TLS"),
        ("https://user:password@a.example.com/token", "none that a request can be sent to"),
        ("https://a.example.com:99999/token", "no request can be made"),
    ],
)
def test_only_public_addresses_and_only_by_tls(url: str, text: str) -> None:
    with pytest.raises(LoginError, match=text) as caught:
        first_grant(machine(url), {}, Client("a", "b"))
    assert caught.value.kind == "config"
    assert "password" not in caught.value.text


def test_plain_text_where_tls_was_meant(nasty: Nasty) -> None:
    url = nasty.url.replace("http:", "https:")
    with pytest.raises(LoginError, match=r"no trusted TLS connection to 127\.0\.0\.1"):
        first_grant(machine(f"{url}/token", private=True), {}, Client("a", "b"))


def test_a_proxy_of_the_environment_is_not_used(nasty: Nasty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert first_grant(machine(f"{nasty.url}/token", private=True), {}, client_of(nasty)).grant.access_token


def test_a_password_of_netrc_is_not_sent(nasty: Nasty, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    first_grant(machine(f"{nasty.url}/token", private=True), {}, client_of(nasty))
    assert nasty.called("/token")[0].headers.get("Authorization") is None


def test_a_header_cannot_be_split(nasty: Nasty) -> None:
    method = machine(f"{nasty.url}/token", private=True, token_headers={"X-Shop": "{shop}"})
    for value in ("a\r\nX-Evil: 1", "a\nb", "\u2028", "ü\u0430"):
        with pytest.raises(LoginError, match="no request can be made") as caught:
            first_grant(method, {"shop": value}, client_of(nasty))
        assert caught.value.kind == "config"
    assert nasty.calls == []


# --- what errors and logs show


def forms_of(secret: str) -> set[str]:
    from urllib.parse import quote, quote_plus

    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        base64.b64encode(secret.encode()).decode(),
    }


@pytest.mark.parametrize("place", ["header", "body"])
def test_a_provider_that_shows_what_it_got_shows_no_secret(
    nasty: Nasty, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error = failed_renewal(nasty, played.echo, client_auth=place)
    assert "invalid_request" in error.text
    assert len(error.text) < 600
    told = f"{error.text} {error!r} {caplog.text}"
    for secret in (nasty.client_secret, REFRESH):
        for form in forms_of(secret):
            assert form not in told


def test_an_error_is_one_short_line_without_marks_that_steer(nasty: Nasty) -> None:
    more = {"error_description": "a\x1b[31m\n::group::b\u202e" + "c" * 10_000}
    error = failed_renewal(nasty, refused("bad\nword", 400, **more))
    assert error.text.isprintable()
    assert "\n" not in error.text
    assert len(error.text) < 500


def test_logs_of_libraries_show_no_address(nasty: Nasty, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    method = method_of(nasty, refresh_url=f"{nasty.url}/token?key=the-secret-key")
    failed_renewal(nasty, played.html)
    with pytest.raises(LoginError):
        renew(method, {}, client_of(nasty), OLD)
    assert nasty.called("/token")[1].query == {"key": "the-secret-key"}
    assert "the-secret-key" not in caplog.text
    assert "/token" not in caplog.text


@pytest.mark.parametrize(
    ("failure", "kind"),
    [(refused("unsupported_token_type"), "refused"), (played.broken, "transient"), (played.cut_before, "transient")],
)
def test_a_token_that_cannot_be_given_back(nasty: Nasty, failure: Failure, kind: str) -> None:
    nasty.next(failure)
    with pytest.raises(LoginError) as caught:
        revoke(method_of(nasty), {}, client_of(nasty), OLD)
    assert caught.value.kind == kind


def test_a_provider_that_takes_back_refresh_tokens_only(nasty: Nasty) -> None:
    nasty.next(raw(b"", 200), refused("unsupported_token_type"))
    assert revoke(method_of(nasty), {}, client_of(nasty), OLD) is True
    nasty.next(refused("unsupported_token_type"))
    with pytest.raises(LoginError):
        revoke(method_of(nasty), {}, client_of(nasty), Grant("only-an-access-token"))
    assert len(nasty.called("/revoke")) == 3


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ({}, "neither a code nor an error"),
        ({"code": ""}, "neither a code nor an error"),
        ({"code": "c" * 20_000}, "too long"),
        ({"error": "server_error", "error_description": "x" * 5000}, "gave no consent: server_error"),
        ({"error": "access_denied"}, "the consent was not given: access_denied"),
        ({"error": "access_denied", "code": "c"}, "the consent was not given"),
    ],
)
def test_a_way_back_without_a_code(nasty: Nasty, returned: dict[str, str], text: str) -> None:
    with pytest.raises(LoginError, match=text) as caught:
        code_of(method_of(nasty), {}, returned)
    assert caught.value.kind == "refused"
    assert len(caught.value.text) < 500
