"""What is wrong with a method of `auth` is told with its place and what to do."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from flowmate_airflow.catalog.auth import METHODS, SessionAuth
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import ManifestError, read_manifest

HEAD = "connector: 1\nname: shop\nversion: '1'\ntitle: A shop\nimage: shop:1\ntriggers:\n  read: {title: Read}\nauth:\n"
OAUTH2 = "type: oauth2\nauthorize_url: https://a.example.com/c\ntoken_url: https://a.example.com/t\n"
SESSION = "type: session\ntoken_path: token\nlogin:\n  method: POST\n  url: https://a.example.com/login\n"


def read(tmp_path: Path, method: str) -> Manifest:
    path = tmp_path / "connector.yaml"
    path.write_text(f"{HEAD}  main:\n{textwrap.indent(method, '    ')}", encoding="utf-8")
    return read_manifest(path)


@pytest.mark.parametrize(
    ("method", "message", "place", "hint"),
    [
        ("type: oauth3\n", '`type` cannot be "oauth3"', "type: oauth3", "did you mean `oauth"),
        (
            "type: oauth2\nauthorize_url: https://a.example.com/c\ntoken_url: https://{shop.example.com/t\n",
            "has a `{` alone",
            "https://{shop",
            "write `{name}`",
        ),
        ("type: [oauth2]\n", "`type` cannot be a list", "type: [oauth2]", "one of custom, none, basic"),
        ("type: oauth2\n", "`token_url` is missing", "main:", "add `token_url:`"),
        (f"{OAUTH2}token_pth: a\n", "`token_pth` is not known here", "token_pth", "did you mean `token_path`"),
        ("type: basic\ntoken_path: a\n", "`token_path` is not known here", "token_path", ""),
        ("type: custom\ntoken_url: a\n", "`token_url` is not known here", "token_url", ""),
        ("token_url: a\nauthorize_url: b\n", "`type` is missing", "main:", "one of custom, none, basic"),
        (
            "type: oauth2\ngrant: jwt_bearer\ntoken_url: https://a.example.com/t\njwt:\n  algoritm: RS256\n",
            "`algoritm` is not known here",
            "algoritm",
            "did you mean `algorithm`?",
        ),
        (
            f"{SESSION}  jsn: {{}}\n",
            "`jsn` is not known here",
            "jsn",
            "did you mean `json`?",
        ),
        (
            "type: bearer\nverify:\n  url: https://a.example.com\n  acount: {id: login}\n",
            "`acount` is not known here",
            "acount",
            "did you mean `account`?",
        ),
        (
            "type: bearer\nverify:\n  url: https://a.example.com\n  account: {id: password}\n",
            "`id` cannot be",
            "password",
            "",
        ),
        (f"{OAUTH2}client_auth: basic\n", "`client_auth` must be `header` or `body`", "basic", ""),
        (f"{OAUTH2}expires_in: soon\n", "`expires_in` is wrong: should be a valid integer", "soon", ""),
        (
            f"{OAUTH2}token_names: {{acces_token: a}}\n",
            "`acces_token` cannot be a name here",
            "acces_token",
            "did you mean `access_token`",
        ),
        ("required: {a: pasword}\n", "`a` cannot be", "pasword", ""),
        (
            "required: {a: password}\nfields: {b: {title: B}}\n",
            "`fields` has b",
            "main:",
            "",
        ),
        (
            "required: {a: password}\nfields: {a: {type: txt}}\n",
            'not a JSON Schema: "txt" is not a type',
            "txt",
            "",
        ),
        (
            "required: {a: password}\nfields:\n  a: {pattern: '(a+)+$'}\n",
            "the pattern can take forever",
            "(a+)+$",
            "",
        ),
        # --- what templates stand for
        (
            "type: oauth2\nauthorize_url: https://a.example.com/c\ntoken_url: https://{shp}.example.com/t\n"
            "required: {shop: extra.shop}\n",
            "`{shp}` stands for no credential here",
            "{shp}.example.com",
            "did you mean `shop`",
        ),
        (f"{OAUTH2}token_params: {{a: 'x {{what}}'}}\n", "`{what}` stands for no credential here", "{what}", "known:"),
        (f"{OAUTH2}token_params: {{a: '{{access_token}}'}}\n", "`{access_token}` stands for no", "{access_token}", ""),
        (f"{OAUTH2}hosts: ['{{shop}}.example.com']\n", "`{shop}` stands for no", "{shop}", ""),
        (
            "type: oauth2\ngrant: jwt_bearer\ntoken_url: https://a.example.com/t\njwt:\n  claims:\n    x: ['{who}']\n",
            "`{who}` stands for no credential here",
            "{who}",
            "",
        ),
        (f"{SESSION}  json: {{a: ['{{usernme}}']}}\n", "`{usernme}` stands for no", "{usernme}", "username"),
        (f"{SESSION}  json: {{a: '{{token}}'}}\n", "`{token}` stands for no credential here", "{token}", ""),
        (
            "type: oauth2\ngrant: client_credentials\ntoken_url: https://a.example.com/t\n"
            "verify: {url: https://a.example.com, headers: {X: '{client_secret}'}}\n",
            "`{client_secret}` stands for no credential here",
            "{client_secret}",
            "",
        ),
        # --- where credentials go
        (
            "type: oauth2\nauthorize_url: https://a.example.com/c?k={key}\ntoken_url: https://a.example.com/t\n"
            "required: {key: extra.key}\nfields: {key: {format: password}}\n",
            "`{key}` is secret, and a browser shows this",
            "{key}",
            "",
        ),
        (
            f"{OAUTH2}authorize_params: {{state: mine}}\n",
            "FlowMate itself says what `state` is",
            "mine",
            "leave it out",
        ),
        (
            "type: oauth2\nauthorize_url: https://a.example.com/c\ntoken_url: '{server}/t'\n"
            "required: {server: extra.server}\nredirect_metadata: {server: extra.server}\n",
            "`{server}` says which host it is",
            "{server}/t",
            "",
        ),
        (
            f"{OAUTH2}required: {{realm: extra.realm}}\nredirect_metadata: {{realmId: extra.realm}}\n"
            "hosts: ['{realm}.example.com', 'api.{realm}']\n",
            "`{realm}` says which host it is",
            "api.{realm}",
            "",
        ),
        ("type: bearer\nverify: {url: http://a.example.com}\n", "is without TLS", "http://", "private: true"),
        ("type: bearer\nverify: {url: https://u:p@a.example.com}\n", "has a user in it", "https://u", ""),
        (f"{OAUTH2}require_issuer: true\n", "there is no `issuer` to compare with", "true", "add `issuer:`"),
        ("type: api_key\nname: 'X Key'\n", '"X Key" cannot be the name of a header', "X Key", ""),
        # --- bodies
        (f"{SESSION}  json: {{}}\nform: {{a: b}}\n", "a login has either `form` or `json`", "form", ""),
        (f"{SESSION.replace('POST', 'GET')}form: {{a: b}}\n", "a GET has no body", "login:", "method: POST"),
        (
            "type: bearer\nverify: {url: https://a.example.com, json: {}}\n",
            "a GET has no body",
            "verify",
            "method: POST",
        ),
        (
            f"{SESSION}login_auth: basic\ninputs: {{a: extra.a}}\n",
            "`inputs` asks for no login and password",
            "basic",
            "",
        ),
    ],
)
def test_a_wrong_method_is_told_with_its_place(
    tmp_path: Path, method: str, message: str, place: str, hint: str
) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, method)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert problem.source is not None
    assert problem.column is not None
    assert place in problem.source
    assert hint in (problem.hint or "")


@pytest.mark.parametrize(
    "method",
    [
        "required: {a: password}\nverify: {url: https://a.example.com, params: {k: '{a}', q: '{ shop { id } }'}}\n",
        "type: oauth2\nauthorize_url: https://{shop}.example.com/c?id={client_id}\n"
        "token_url: https://{shop}.example.com/t\nrequired: {shop: extra.shop}\nhosts: ['{shop}.example.com']\n"
        "verify: {url: 'https://{shop}.example.com/me', headers: {X: '{access_token} {client_id}'}}\n",
        "type: oauth2\ngrant: client_credentials\ntoken_url: https://a.example.com/t\n"
        "token_params: {id: '{client_id}', secret: '{client_secret}', scope: '{scope}'}\n",
        "type: oauth2\nauthorize_url: https://a.example.com/c\ntoken_url: https://a.example.com/t\n"
        "optional: {instance: extra.instance}\ntoken_metadata: {instance_url: extra.instance}\n"
        "verify: {url: '{instance}/me'}\n",
        f"{SESSION}  json: {{u: '{{username}}', p: '{{password}}'}}\n"
        "logout: {url: https://a.example.com/logout, headers: {X: '{token}'}}\n",
        "type: oauth1\nrequest_url: https://a.example.com/1\nauthorize_url: https://a.example.com/2?k={consumer_key}\n"
        "access_url: https://a.example.com/3\n",
        "type: bearer\nprivate: true\nverify: {url: http://10.0.0.1/me}\n",
    ],
)
def test_a_right_method_has_no_flaw(tmp_path: Path, method: str) -> None:
    assert list(read(tmp_path, method).auth) == ["main"]


def test_each_type_is_read_by_its_model(tmp_path: Path) -> None:
    method = read(tmp_path, SESSION).auth["main"]
    assert isinstance(method, SessionAuth)
    assert method.asked == {"username": "login", "password": "password"}
    assert set(METHODS) == {"custom", "none", "basic", "api_key", "bearer", "oauth2", "oauth1", "session"}
