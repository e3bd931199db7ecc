"""What people fill in to link a connector: taken by the manifest, or refused field by field, without secrets."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.forms import FormError, checked, filled, form_of, shown_before
from flowmate_airflow.catalog.auth import AnyMethod
from flowmate_airflow.catalog.authmethod import AuthMethod

ADAPTER: TypeAdapter[AuthMethod] = TypeAdapter(AnyMethod)


def method(**auth: Any) -> AuthMethod:
    return ADAPTER.validate_python(auth)


CUSTOM = method(
    required={"subdomain": "extra.subdomain", "key": "password"},
    optional={"port": "port", "region": "extra.region", "test": "extra.test", "url": "url", "options": "extra.options"},
    fields={
        "subdomain": {"type": "string", "pattern": "^[a-z]+$", "title": "Shop"},
        "key": {"type": "string", "minLength": 8, "pattern": "^k-"},
        "region": {"enum": ["eu", "us"], "default": "eu"},
        "test": {"type": "boolean"},
        "options": {"type": "object", "properties": {"depth": {"type": "integer"}}},
    },
)
GOOD = {"subdomain": "acme", "key": "k-12345678"}


def problems(asked: AuthMethod, **values: Any) -> dict[str, str]:
    with pytest.raises(FormError) as caught:
        checked(asked, "m", values)
    assert str(caught.value) == "; ".join(caught.value.problems.values())
    return caught.value.problems


def test_a_form_has_what_the_manifest_asks_for() -> None:
    fields = {each.name: each for each in form_of(CUSTOM)}
    assert set(fields) == {"subdomain", "key", "port", "region", "test", "url", "options"}
    assert (fields["subdomain"].title, fields["subdomain"].secret) == ("Shop", False)
    assert (fields["key"].required, fields["key"].secret) == (True, True)
    assert (fields["region"].default, fields["region"].required) == ("eu", False)


def test_values_get_the_types_of_their_schemas() -> None:
    values = {**GOOD, "port": "8443", "test": "yes", "options": '{"depth": 3}', "url": "https://a.example.com/x"}
    found = checked(CUSTOM, "m", values)
    assert found == {
        **GOOD,
        "region": "eu",
        "port": 8443,
        "test": True,
        "options": {"depth": 3},
        "url": "https://a.example.com/x",
    }
    stored = filled(Stored("c", extra={"a": 1}), CUSTOM, found)
    assert (stored.password, stored.port, stored.host) == ("k-12345678", 8443, "https://a.example.com/x")
    assert stored.extra == {"a": 1, "subdomain": "acme", "region": "eu", "test": True, "options": {"depth": 3}}
    assert "k-12345678" not in repr(stored)


def test_the_end_of_a_line_that_was_pasted_is_no_part_of_a_key() -> None:
    assert checked(CUSTOM, "m", {**GOOD, "key": "k-12345678\r\n"})["key"] == "k-12345678"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"subdomain": "acme"}, {"key": "`key` is missing"}),
        ({**GOOD, "subdomain": ""}, {"subdomain": "`subdomain` is missing"}),
        (
            {**GOOD, "sub": "x"},
            {"sub": '"sub" is no field of the method `m`; known: key, options, port, region, subdomain, test, url'},
        ),
        ({**GOOD, "subdomain": "a.b"}, {"subdomain": '`subdomain` does not fit the pattern ^[a-z]+$: "a.b"'}),
        ({**GOOD, "region": "mars"}, {"region": '`region` must be one of "eu", "us", not "mars"'}),
        ({**GOOD, "test": "perhaps"}, {"test": '`test` must be of type boolean, not "perhaps"'}),
        ({**GOOD, "port": "70000"}, {"port": "`port` must be a port, 1 to 65535"}),
        ({**GOOD, "port": "x"}, {"port": "`port` must be a port, 1 to 65535"}),
        ({**GOOD, "options": '{"depth": "x"}'}, {"options": '`options.depth` must be of type integer, not "x"'}),
        (
            {**GOOD, "url": "https://a.example.com/" + "x" * 500},
            {"url": "`url` is too long: it has 522 characters, and 500 are possible"},
        ),
        ({**GOOD, "url": "javascript:alert(1)"}, None),
        ({**GOOD, "url": "https://user@a.example.com"}, None),
        ({**GOOD, "url": "https://a.example.com/a b"}, None),
        ({**GOOD, "key": "k-" + "x" * 70_000}, None),
        ({**GOOD, "key": "k-1234567\x008"}, None),
        ({**GOOD, "key": "k-1234567\ud800"}, None),
        ({**GOOD, "key": True}, None),
        ({**GOOD, "key": {"a": 1}}, None),
    ],
)
def test_each_field_that_is_wrong_is_named(values: dict[str, Any], told: dict[str, str] | None) -> None:
    found = problems(CUSTOM, **values)
    assert told is None or found == told
    assert all(name in values or name == "key" for name in found)


@pytest.mark.parametrize("key", ["hunter22-hunter22", "short"])
def test_a_secret_that_does_not_fit_is_not_shown(key: str) -> None:
    text = problems(CUSTOM, subdomain="acme", key=key)["key"]
    assert text.startswith("`key` ")
    assert key not in text


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert sorted(problems(CUSTOM, subdomain="A", reg="eu")) == ["key", "reg", "subdomain"]


def test_a_form_without_end_is_refused() -> None:
    found = problems(CUSTOM, **GOOD, **{f"a{number}": "x" for number in range(5000)})
    assert len(found) <= 103
    assert found[""] == "a form has up to 100 fields, not 5,002"


def test_what_a_login_brings_is_not_asked_for() -> None:
    consent = method(type="oauth2", authorize_url="https://a.example.com/a", token_url="https://a.example.com/t")
    fields = form_of(consent)
    assert [(each.name, each.required, each.secret, each.own_application) for each in fields] == [
        ("client_id", False, False, True),
        ("client_secret", False, True, True),
    ]
    assert problems(consent, access_token="x")["access_token"]
    assert problems(consent, client_secret="hunter22") == {
        "client_id": "`client_id` is missing: the secret is of no use without it"
    }
    client = method(type="oauth2", grant="client_credentials", token_url="https://a.example.com/t")
    assert [(each.name, each.part, each.required, each.secret) for each in form_of(client)] == [
        ("client_id", "login", True, False),
        ("client_secret", "password", True, True),
    ]


def test_a_whole_extra_may_not_pretend_to_be_a_login() -> None:
    whole = method(required={"config": "extra"})
    assert checked(whole, "m", {"config": '{"a": 1}'}) == {"config": {"a": 1}}
    for bad in ("[1]", "text", '{"flowmate_token": {"access_token": "x"}}', '{"flowmate": {}}'):
        assert "must be a JSON object, without" in problems(whole, config=bad)["config"]


NESTED = {
    "type": "object",
    "properties": {
        "user": {"type": "string"},
        "signing": {"type": "object", "properties": {"pin": {"type": "string", "format": "password", "maxLength": 4}}},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "value",
    [
        {"signing": {"pin": "hunter22"}},
        {"user": "u", "signing": {"pin": ["hunter22"]}},
        {"user": "u", "signing": "hunter22"},
        {"hunter22": "hunter22"},
    ],
)
def test_a_value_with_a_secret_within_is_one(value: dict[str, Any]) -> None:
    login = method(required={"account": "extra.account"}, fields={"account": NESTED})
    assert form_of(login)[0].secret
    assert "hunter22" not in str(problems(login, account=value))
    stored = filled(Stored("c"), login, {"account": {"user": "u", "signing": {"pin": "1234"}}})
    assert shown_before(stored, login) == {}
    assert form_of(method(required={"config": "extra"}))[0].secret
    assert not {each.name: each for each in form_of(CUSTOM)}["options"].secret


@pytest.mark.parametrize(
    ("name", "part", "secret"),
    [
        ("token", "extra.token", True),
        ("apiToken", "extra.api_token", True),
        ("tokenUrl", "extra.token_url", False),
        ("token_uri", "extra.uri", False),
        ("urlToken", "extra.url_token", True),
        ("token_url_secret", "extra.x", True),
    ],
)
def test_the_address_of_tokens_is_no_secret(name: str, part: str, secret: bool) -> None:
    assert form_of(method(required={name: part}))[0].secret is secret


def test_a_value_that_is_nested_without_end_is_refused() -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400
    assert "nested" in problems(CUSTOM, **GOOD, options=deep)["options"]
