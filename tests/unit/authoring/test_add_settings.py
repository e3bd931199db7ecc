"""Singer and Airbyte images as manifests: settings become fields, secrets come from the Connection."""

from __future__ import annotations

from typing import Any

import pytest

from flowmate_airflow.authoring.errors import AuthoringError
from flowmate_airflow.authoring.images import ImageFacts
from flowmate_airflow.authoring.settings_drafts import airbyte_draft, singer_draft
from flowmate_airflow.authoring.write_manifest import check_draft
from flowmate_airflow.catalog.manifest import Manifest, SingerImage


def facts(image: str = "acme/source-shop:1.2", **values: Any) -> ImageFacts:
    given = {"labels": {}, "entrypoint": ("/bin/x",), "command": (), "folder": "/", "user": "", "environment": {}}
    return ImageFacts(image=image, **{**given, **values})


def source(properties: dict[str, Any], required: list[str], image: ImageFacts | None = None, **spec: Any) -> Manifest:
    settings = {"type": "object", "properties": properties, "required": required}
    return check_draft(airbyte_draft(image or facts(), None, (), {"connectionSpecification": settings, **spec}))


TEXT = {"type": "string"}
SECRET = {"type": "string", "airbyte_secret": True}


def test_secrets_of_an_airbyte_source_are_credentials() -> None:
    found = source({"account": TEXT, "password": SECRET, "key": SECRET, "start": TEXT}, ["account", "key"])
    assert found.auth["credentials"].required == {"key": "password"}
    assert found.auth["credentials"].optional == {"password": "extra.password"}
    assert list(found.triggers["read"].fields) == ["account", "start"]
    assert found.triggers["read"].required == ["account"]
    assert found.triggers["read"].state is True
    assert (found.protocol, found.version, found.title) == ("airbyte", "1.2", "Shop")


def test_alternatives_of_credentials_are_ways_to_authenticate() -> None:
    oauth = {"title": "OAuth 2.0", "properties": {"kind": {"const": "o"}, "access_token": SECRET, "region": TEXT}}
    key = {"title": "API key", "properties": {"kind": {"const": "k"}, "api_key": SECRET}}
    oauth["required"] = key["required"] = ["kind"]
    key["required"] = ["kind", "api_key"]
    found = source({"credentials": {"type": "object", "oneOf": [oauth, key]}, "salt": SECRET}, ["credentials"])
    assert {name: (each.title, each.required) for name, each in found.auth.items()} == {
        "oauth_2_0": ("OAuth 2.0", {}),
        "api_key": ("API key", {"credentials.api_key": "password"}),
    }
    variants = found.triggers["read"].fields["credentials"]["oneOf"]
    assert [list(each["properties"]) for each in variants] == [["kind", "region"], ["kind"]]
    for method in found.auth.values():
        sources = [*method.required.values(), *method.optional.values()]
        assert len(sources) == len(set(sources))


def test_defaults_of_an_airbyte_form_are_what_steps_start_from() -> None:
    wrong = {"type": "object", "default": "Public Web"}
    found = source({"count": {"type": "integer", "default": 10}, "provider": wrong}, ["count", "provider"])
    assert found.defaults == {"count": 10}
    assert found.triggers["read"].required == ["provider"]


@pytest.mark.parametrize(
    ("image", "spec", "function"),
    [
        (facts("acme/destination-shop:1"), {}, "write"),
        (facts("acme/source-shop:1"), {}, "read"),
        (facts("acme/shop:1", labels={"io.airbyte.name": "airbyte/destination-x"}), {}, "write"),
        (facts("acme/shop:1"), {"supported_destination_sync_modes": ["append"]}, "write"),
        (facts("acme/shop:1"), {}, "read"),
    ],
)
def test_an_airbyte_image_is_a_source_or_a_destination(image: ImageFacts, spec: Any, function: str) -> None:
    found = source({"a": TEXT}, [], image, **spec)
    assert [*found.triggers, *found.actions] == [function]


def test_a_spec_without_settings_is_refused() -> None:
    with pytest.raises(AuthoringError, match="cannot be used"):
        airbyte_draft(facts(), None, (), {})


def tap(about: dict[str, Any] | None, image: SingerImage, found: ImageFacts) -> Manifest:
    return check_draft(singer_draft(found, None, (), image, about))


def test_a_tap_tells_its_settings() -> None:
    settings = {
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "Where"},
            "token": {"type": "string", "secret": True},
            "password": {"type": "string", "secret": True},
        },
        "required": ["url"],
    }
    about = {"name": "tap-shop", "version": "0.3.1", "description": "A tap", "settings": settings}
    found = tap(about, SingerImage(about=True), facts("x/tap-shop:9"))
    assert (found.name, found.version, found.title, found.protocol) == ("tap_shop", "0.3.1", "Shop", "singer")
    assert found.auth["credentials"].optional == {"password": "password", "token": "extra.token"}
    assert list(found.triggers["read"].fields) == ["url"]
    assert found.triggers["read"].required == ["url"]
    assert found.singer.about is True


@pytest.mark.parametrize(
    ("image", "known", "function"),
    [
        ("x/tap-shop:1", SingerImage(catalog="none", discover=False), "read"),
        ("x/target-shop:1", SingerImage(), "write"),
        ("x/shop:1", SingerImage(), "read"),
        ("x/shop:1", SingerImage(catalog="none", discover=False), "write"),
    ],
)
def test_a_classic_program_is_a_tap_or_a_target(image: str, known: SingerImage, function: str) -> None:
    found = tap(None, known, facts(image))
    assert [*found.triggers, *found.actions] == [function]


def test_an_image_that_has_only_a_command_is_started_by_it() -> None:
    image = facts("x/tap-shop:1", entrypoint=(), command=("tap-shop", "--x"))
    assert tap(None, SingerImage(), image).entrypoint == ["tap-shop"]
