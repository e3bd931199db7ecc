"""Specifications: which settings a flow may hold, and which only a Connection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flowmate_airflow.protocols.airbyte_spec import settings_schema

SPEC: dict[str, Any] = {
    "supported_destination_sync_modes": ["append", "overwrite"],
    "connectionSpecification": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "required": ["host", "credentials", "password"],
        "properties": {
            "password": {"type": "string", "title": "Password", "airbyte_secret": True, "order": 3},
            "port": {"type": "integer", "order": 2},
            "host": {"type": "string", "order": 1},
            "extra": {"type": "string"},
            "tunnel": {
                "type": "object",
                "properties": {"key": {"type": "string", "airbyte_secret": True}},
                "required": ["key"],
            },
            "credentials": {
                "type": "object",
                "oneOf": [
                    {
                        "title": "OAuth",
                        "required": ["refresh_token"],
                        "properties": {
                            "kind": {"type": "string", "const": "oauth"},
                            "refresh_token": {"type": "string", "airbyte_secret": True},
                            "client_id": {"type": "string"},
                        },
                    },
                    {
                        "title": "Key",
                        "required": ["kind", "api_key"],
                        "properties": {
                            "kind": {"type": "string", "enum": ["key"]},
                            "api_key": {"type": "string", "airbyte_secret": True},
                        },
                    },
                ],
            },
        },
    },
    "advanced_auth": {
        "auth_flow_type": "oauth2.0",
        "predicate_key": ["credentials", "kind"],
        "predicate_value": "oauth",
        "oauth_config_specification": {
            "oauth_connector_input_specification": {
                "consent_url": "https://example.com/consent",
                "access_token_url": "https://example.com/token",
                "scopes": [{"scope": "read"}, {"scope": "write"}],
            },
            "complete_oauth_output_specification": {
                "properties": {"refresh_token": {"path_in_connector_config": ["credentials", "refresh_token"]}}
            },
            "complete_oauth_server_output_specification": {
                "properties": {"client_id": {"path_in_connector_config": ["credentials", "client_id"]}}
            },
        },
    },
}


def test_fields_come_in_the_order_of_the_form_and_without_secrets() -> None:
    settings = settings_schema(SPEC)
    assert list(settings.fields) == ["host", "port", "extra", "credentials"]
    assert settings.required == ("host", "credentials")
    assert "airbyte_secret" not in json.dumps(settings.fields)
    assert settings.modes == ("append", "overwrite")


def test_secrets_have_names_with_dots_and_their_alternative() -> None:
    found = {(each.name, each.required, each.alternative) for each in settings_schema(SPEC).secrets}
    assert found == {
        ("password", True, None),
        ("tunnel.key", True, None),
        ("credentials.refresh_token", True, "OAuth"),
        ("credentials.api_key", True, "Key"),
    }


def test_alternatives_stay_told_apart() -> None:
    oauth, key = settings_schema(SPEC).fields["credentials"]["oneOf"]
    assert (oauth["required"], key["required"]) == (["kind"], ["kind"])
    assert list(oauth["properties"]) == ["kind", "client_id"]
    assert list(key["properties"]) == ["kind"]


def test_what_is_known_of_the_login_is_handed_on() -> None:
    oauth = settings_schema(SPEC).oauth
    assert oauth is not None
    assert (oauth.flow, oauth.chosen_by) == ("oauth2.0", ("credentials.kind", "oauth"))
    assert oauth.tokens == {"refresh_token": "credentials.refresh_token"}
    assert oauth.client == {"client_id": "credentials.client_id"}
    assert (oauth.consent_url, oauth.token_url) == ("https://example.com/consent", "https://example.com/token")
    assert oauth.scopes == ("read", "write")


@pytest.mark.parametrize("reference", [{"$ref": "#/definitions/Login"}, {"allOf": [{"$ref": "#/definitions/Login"}]}])
def test_references_are_followed(reference: dict[str, Any]) -> None:
    login = {"type": "object", "properties": {"user": {"type": "string"}, "key": {"airbyte_secret": True}}}
    given = {"properties": {"login": {"title": "Login", **reference}}, "definitions": {"Login": login}}
    settings = settings_schema({"connectionSpecification": given})
    assert settings.fields["login"]["properties"] == {"user": {"type": "string"}}
    assert [each.name for each in settings.secrets] == ["login.key"]


def test_alternatives_at_the_top_are_put_together() -> None:
    one = {"properties": {"host": {}, "user": {}}, "required": ["host", "user"]}
    other = {"properties": {"host": {}, "token": {"airbyte_secret": True}}, "required": ["host", "token"]}
    settings = settings_schema({"connectionSpecification": {"oneOf": [one, other]}})
    assert list(settings.fields) == ["host", "user"]
    assert settings.required == ("host",)
    assert [each.name for each in settings.secrets] == ["token"]


def test_a_connector_without_settings_has_none() -> None:
    settings = settings_schema({"connectionSpecification": {}})
    assert (settings.fields, settings.required, settings.secrets, settings.oauth) == ({}, (), (), None)


@pytest.mark.parametrize("spec", [{}, {"connectionSpecification": []}])
def test_specifications_of_another_shape_are_refused(spec: Any) -> None:
    with pytest.raises(ValueError, match="connectionSpecification"):
        settings_schema(spec)


def test_a_reference_to_itself_or_to_nothing_ends() -> None:
    given = {"properties": {"a": {"$ref": "#/properties/a"}, "b": {"$ref": "#/nowhere"}, "c": "text"}}
    assert list(settings_schema({"connectionSpecification": given}).fields) == ["a", "b", "c"]


def test_a_specification_that_refers_to_itself_is_refused() -> None:
    node = {"type": "object", "properties": {f"p{number}": {"$ref": "#/definitions/N"} for number in range(10)}}
    spec = {"connectionSpecification": {"properties": {"n": {"$ref": "#/definitions/N"}}, "definitions": {"N": node}}}
    with pytest.raises(ValueError, match="nested too deeply"):
        settings_schema(spec)
