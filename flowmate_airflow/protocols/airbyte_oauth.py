"""How people log in with an Airbyte connector by OAuth: what its specification's `advanced_auth` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flowmate_airflow.protocols.airbyte_names import dotted


@dataclass(frozen=True, slots=True)
class OAuth:
    """The facts of a login by OAuth. Names of settings have dots where they are nested.

    :param flow: `oauth2.0` or `oauth1.0`
    :param chosen_by: the setting that chooses this login, and its value; None: there is no other
    :param tokens: by the name that the login gives it, the setting that takes it
    :param client: the same for what the registered application is known by
    :param consent_url: where people are sent, with placeholders of the connector's own
    :param token_url: where tokens are had
    :param scopes: in the order they are asked for
    """

    flow: str
    chosen_by: tuple[str, str] | None = None
    tokens: Mapping[str, str] = field(default_factory=dict)
    client: Mapping[str, str] = field(default_factory=dict)
    consent_url: str | None = None
    token_url: str | None = None
    scopes: tuple[str, ...] = ()


def oauth_of(advanced_auth: Any) -> OAuth | None:
    """Return the facts in a specification's `advanced_auth`; None: there are none."""
    if not isinstance(advanced_auth, Mapping):
        return None
    config = _object(advanced_auth, "oauth_config_specification")
    key = dotted(advanced_auth.get("predicate_key"))
    inputs = _object(config, "oauth_connector_input_specification")
    return OAuth(
        flow=str(advanced_auth.get("auth_flow_type") or "oauth2.0"),
        chosen_by=(key, str(advanced_auth.get("predicate_value"))) if key else None,
        tokens=_places(_object(config, "complete_oauth_output_specification")),
        client=_places(_object(config, "complete_oauth_server_output_specification")),
        consent_url=_text(inputs.get("consent_url")),
        token_url=_text(inputs.get("access_token_url")),
        scopes=_scopes(inputs),
    )


def _places(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return where each of a schema's values belongs in the configuration."""
    places = {}
    for name, part in _object(schema, "properties").items():
        place = dotted(part.get("path_in_connector_config")) if isinstance(part, Mapping) else None
        if place:
            places[name] = place
    return places


def _scopes(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    scopes = inputs.get("scopes")
    if isinstance(scopes, list):
        names = (each.get("scope") if isinstance(each, Mapping) else each for each in scopes)
        return tuple(name for name in names if isinstance(name, str))
    plain = _text(inputs.get("scope"))
    return tuple(plain.replace(",", " ").split()) if plain else ()


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = value.get(key)
    return part if isinstance(part, Mapping) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
