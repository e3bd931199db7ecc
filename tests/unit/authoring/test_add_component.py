"""`flowmate connectors add` on component.json files: each thing that one can say arrives in the manifest."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from authoring_harness import add, as_yaml, component, trigger, write_component, written

from flowmate_airflow.cli.main import main


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        ({"viewClass": "TextFieldView", "label": "Name:"}, {"title": "Name", "type": "string"}),
        ({"viewClass": "TextAreaView", "default": 5}, {"type": ["string", "number"], "default": 5}),
        ({"viewClass": "PasswordFieldView"}, {"type": "string", "format": "password"}),
        ({"viewClass": "CheckBoxView", "default": "on"}, {"type": "boolean", "default": True}),
        ({"viewClass": "SelectView", "model": {"a": "a", "b": "b"}}, {"enum": ["a", "b"]}),
        (
            {"viewClass": "SelectView", "model": {"a": "First", "b": {"label": "Second"}}},
            {"enum": ["a", "b"], "enumNames": ["First", "Second"]},
        ),
        (
            {"viewClass": "SelectView", "model": [{"value": 1, "label": "One"}, {"value": 2, "label": "Two"}]},
            {"enum": [1, 2], "enumNames": ["One", "Two"]},
        ),
        (
            {"viewClass": "SelectView", "model": "getModel"},
            {"type": ["string", "number", "boolean"], "description": "The component looks the choices up (getModel)."},
        ),
        (
            {"viewClass": "MultiSelectView", "model": ["x", "y"]},
            {"type": "array", "items": {"enum": ["x", "y"]}, "uniqueItems": True},
        ),
        ({"viewClass": "OAuthFieldView"}, {"type": "object"}),
        ({"viewClass": "CSVReadView"}, {"type": "object"}),
        ({"viewClass": "SomethingNew", "note": "<b>Bold</b> note"}, {"description": "Bold note."}),
        ({"viewClass": ["no", "text"]}, {"type": "string"}),
    ],
)
def test_a_form_field_becomes_a_json_schema(field: dict[str, Any], schema: dict[str, Any], tmp_path: Path) -> None:
    folder = write_component(tmp_path / "c", component(read=trigger(fields={"it": field})))
    assert add(folder, tmp_path / "out").triggers["read"].fields["it"] == schema


def test_composite_views_are_objects_with_their_parts(tmp_path: Path) -> None:
    fields = {"auth": {"viewClass": "HTTPAuthView"}, "reader": {"viewClass": "RESTAPIView"}}
    found = add(write_component(tmp_path / "c", component(read=trigger(fields=fields))), tmp_path / "out")
    schemas = found.triggers["read"].fields
    assert set(schemas["auth"]["properties"]) == {"type", "basic", "apiKey"}
    assert schemas["reader"]["properties"]["method"]["enum"][0] == "GET"


def test_defaults_of_forms_are_what_steps_start_from(tmp_path: Path) -> None:
    size = {"viewClass": "TextFieldView", "required": True, "default": "10"}
    other = {**size, "default": "20"}
    text = {"viewClass": "TextFieldView", "required": True}
    made = component(
        first=trigger(fields={"size": size, "same": size, "name": text}),
        second=trigger(fields={"size": other, "same": size}),
    )
    found = add(write_component(tmp_path / "c", made), tmp_path / "out")
    assert found.defaults == {"same": "10"}
    assert found.triggers["first"].required == ["size", "name"]
    assert found.triggers["second"].required == ["size"]


def test_fields_of_the_whole_component_and_their_order(tmp_path: Path) -> None:
    text = {"viewClass": "TextFieldView"}
    made = {
        **component(read=trigger(fields={"last": text, "first": {**text, "order": 9}})),
        "fields": {"common": {**text, "order": 5}},
    }
    found = add(write_component(tmp_path / "c", made), tmp_path / "out")
    assert list(found.triggers["read"].fields) == ["first", "common", "last", "nodeSettings"]


def test_schemas_come_from_files_and_from_the_draft_of_their_time(tmp_path: Path) -> None:
    old = json.dumps(
        {
            "type": "object",
            "properties": {"id": {"type": "integer", "required": True}, "x": {"$ref": "#/d/y"}},
            "d": {"y": {"type": "null"}},
        }
    )
    inline = {"name": {"type": "string", "required": True}}
    made = component(
        read=trigger(metadata={"out": "./schemas/out.json"}),
        do_save=trigger(metadata={"in": inline, "out": {}}),
    )
    found = add(write_component(tmp_path / "c", made, schemas__out=old), tmp_path / "out")
    assert found.triggers["read"].output == {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "x": {"type": "null"}},
        "required": ["id"],
    }
    assert found.actions["do_save"].input == {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    }
    assert found.actions["do_save"].output is None


def test_a_schema_outside_the_folder_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret.json").write_text('{"type": "object", "title": "secret"}')
    made = component(read=trigger(metadata={"out": "../secret.json"}))
    found = add(write_component(tmp_path / "c", made), tmp_path / "out")
    assert found.triggers["read"].output is None
    assert "which is not there" in capsys.readouterr().out


def test_a_schema_without_end_is_cut_to_a_bound(tmp_path: Path) -> None:
    tree: dict[str, Any] = {"type": "object", "properties": {"child": {"$ref": "#"}, "name": {"type": "string"}}}
    wide = {
        "type": "object",
        "properties": {f"field_{n}": {"type": "string", "description": "x" * 900} for n in range(400)},
    }
    wild = {"type": "object", "properties": {f"f{n}": {"$ref": "#"} for n in range(50)}}
    made = component(
        read=trigger(metadata={"out": tree}), more=trigger(metadata={"out": wide}), all=trigger(metadata={"out": wild})
    )
    found = add(write_component(tmp_path / "c", made), tmp_path / "out")
    assert found.triggers["read"].output is not None
    assert written(tmp_path / "out").stat().st_size < 200_000


def test_a_large_component_is_cut_to_what_a_manifest_may_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaf = {"type": "object", "properties": {f"f{n}": {"type": "string"} for n in range(8)}}
    deep = {"type": "object", "properties": {f"g{n}": {"type": "object", "properties": {"x": leaf}} for n in range(8)}}
    made = component(**{f"t{n}": trigger(metadata={"out": deep}) for n in range(200)})
    found = add(write_component(tmp_path / "c", made), tmp_path / "out")
    assert len(found.triggers) == 200
    assert found.triggers["t0"].output is not None
    assert "its schemas are large" in capsys.readouterr().out


def test_functions_get_names_that_steps_can_use(tmp_path: Path) -> None:
    made = {
        "title": "Shop",
        "triggers": {"get-orders": trigger(), "get_orders": trigger(), "2nd": trigger(), "Größe": trigger()},
        "actions": {"get_orders": trigger(), "save": trigger()},
    }
    found = add(write_component(tmp_path / "c", made), tmp_path / "out")
    assert {name: each.calls for name, each in found.triggers.items()} == {
        "get_orders_2": "get-orders",
        "get_orders": None,
        "f_2nd": "2nd",
        "Groe": "Größe",
    }
    assert {name: each.calls for name, each in found.actions.items()} == {"get_orders_3": "get_orders", "save": None}


def test_triggers_remember_and_actions_only_where_their_code_shows_it(tmp_path: Path) -> None:
    made = component(
        read=trigger(), do_keep={**trigger(), "main": "./keep.js"}, do_save={**trigger(), "main": "./s.js"}
    )
    folder = write_component(
        tmp_path / "c", made, keep_js="await this.emit('snapshot', {});", s_js="this.emit('data', {})"
    )
    found = add(folder, tmp_path / "out")
    assert found.triggers["read"].state is True
    assert found.actions["do_keep"].state is True
    assert found.actions["do_save"].state is False


def test_the_lookup_of_forms_is_no_function(tmp_path: Path) -> None:
    found = add(write_component(tmp_path / "c", component(read=trigger(), lookup=trigger())), tmp_path / "out")
    assert list(found.triggers) == ["read"]


def fields(*names: str, **views: str) -> dict[str, Any]:
    return {
        **{name: {"viewClass": "TextFieldView", "required": True} for name in names},
        **{name: {"viewClass": view} for name, view in views.items()},
    }


@pytest.mark.parametrize(
    ("credentials", "auth"),
    [
        (
            {"fields": fields("username", "password")},
            {"basic": ({"username": "login", "password": "password"}, {})},
        ),
        (
            {"fields": fields("username", "passphrase", "baseUrl", "shop")},
            {
                "basic": (
                    {"username": "login", "passphrase": "password", "baseUrl": "url", "shop": "extra.shop"},
                    {},
                )
            },
        ),
        ({"fields": fields(key="PasswordFieldView")}, {"api_key": ({"key": "password"}, {})}),
        ({"fields": fields("apiKey")}, {"api_key": ({"apiKey": "password"}, {})}),
        ({"fields": fields("accessToken")}, {"token": ({"accessToken": "password"}, {})}),
        (
            {"fields": fields("auth", pin="PasswordFieldView")},
            {"custom": ({"auth": "extra.auth_value"}, {"pin": "password"})},
        ),
        (
            {"fields": fields("server", auth_BearerAuth="TextFieldView")},
            {"token": ({"server": "extra.server"}, {"auth_BearerAuth": "password"})},
        ),
        ({"oauth2": {"auth_uri": "https://x"}}, {"oauth2": ({"accessToken": "password"}, {})}),
        (
            {"oauth2": {}, "fields": fields(auth="HTTPAuthView", oauth="OAuthFieldView")},
            {
                "oauth2": ({"accessToken": "password"}, {"auth": "extra.auth_value"}),
                "http": ({"auth": "extra.auth_value"}, {}),
            },
        ),
        ({}, {}),
        ("nonsense", {}),
    ],
)
def test_credentials_come_from_the_parts_of_a_connection(
    credentials: Any, auth: dict[str, Any], tmp_path: Path
) -> None:
    folder = write_component(tmp_path / "c", {**component(read=trigger()), "credentials": credentials})
    found = add(folder, tmp_path / "out")
    assert {name: (each.required, each.optional) for name, each in found.auth.items()} == auth


def test_an_oauth_login_of_elastic_io_is_one_object(tmp_path: Path) -> None:
    login = {"fields": {"login": {"viewClass": "OAuthFieldView"}}, "oauth2": {"scopes": []}}
    folder = write_component(
        tmp_path / "c",
        {**component(read=trigger()), "credentials": login},
        package={"name": "x", "dependencies": {"elasticio-sailor-nodejs": "2.7.8"}},
    )
    assert add(folder, tmp_path / "out").auth["oauth2"].required == {"login.access_token": "password"}


def test_name_version_and_texts(tmp_path: Path) -> None:
    made = {**component(read=trigger()), "title": "My <i>Shop</i>", "description": "Sells\n things", "unknown": [1]}
    folder = write_component(tmp_path / "c", made, package={"name": "@acme/my-shop-component", "version": "2.0.1-beta"})
    found = add(folder, tmp_path / "out")
    assert (found.name, found.version) == ("my_shop_component", "2.0.1-beta")
    assert (found.title, found.description) == ("My Shop", "Sells things.")
    assert found.image == "flowmate-local/my_shop_component:2.0.1-beta"
    assert found.node is not None


def test_the_logo_becomes_the_icon(tmp_path: Path) -> None:
    folder = write_component(tmp_path / "c", component(read=trigger()))
    (folder / "logo.png").write_bytes(png())
    found = add(folder, tmp_path / "out")
    assert found.icon == "icon.png"
    assert (written(tmp_path / "out").parent / "icon.png").read_bytes() == png()


@pytest.mark.parametrize(
    "logo",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'></svg>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='https://example.com/x.png'/></svg>",
        b"<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>",
        b"<html>no picture</html>",
        b"<svg " + b"x" * 300_000,
    ],
)
def test_an_icon_that_could_do_something_is_left_out(logo: bytes, tmp_path: Path) -> None:
    folder = write_component(tmp_path / "c", component(read=trigger()))
    (folder / "logo.svg").write_bytes(logo)
    assert add(folder, tmp_path / "out").icon is None


def test_a_plain_svg_is_an_icon(tmp_path: Path) -> None:
    folder = write_component(tmp_path / "c", component(read=trigger()))
    (folder / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><path d='M0 0'/></svg>")
    assert add(folder, tmp_path / "out").icon == "icon.svg"


def test_a_manifest_that_is_there_stays_without_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_component(tmp_path / "c", component(read=trigger()))
    add(folder, tmp_path / "out")
    path = written(tmp_path / "out")
    path.write_text("mine")
    assert main(["connectors", "add", "--repo", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert add(folder, tmp_path / "out", "--force").title == "Shop"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1,\n "b": [1, 2,],\n}', "c/component.json:2:12: a comma before the closing bracket"),
        ('{"triggers": {},\n}', "c/component.json:1:16: a comma before the closing bracket"),
        ("\ufeff{}", "c/component.json:1:1: a byte order mark stands before the JSON"),
        ('{"a": {"b": 1},\n "a": 2}', 'c/component.json:2:2: the key "a" stands twice in one object'),
        ('{"a": 1 "b": 2}', "c/component.json:1:9: a comma is missing before this"),
        ('{"a" 1}', "c/component.json:1:6: a colon is missing before this"),
        ("{'a': 1}", "c/component.json:1:2: JSON has no single quotes"),
        ('{\n // x\n "a": 1}', "c/component.json:2:2: JSON has no comments"),
        ('{"a": NaN}', "c/component.json:1:7: JSON has no NaN"),
        ('{"a": [1, 2', "c/component.json:1:12: the JSON ends here"),
        ("", "c/component.json:1:1: the file is empty"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_json_that_is_none_is_told_with_its_place(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_component(tmp_path / "c", text)
    assert main(["connectors", "add", "--component-json", str(folder / "component.json"), "--out", str(tmp_path)]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("described", "told"),
    [
        ({"title": "x"}, "neither triggers nor actions"),
        ({"triggers": []}, "`triggers` of component.json must be an object"),
        ({"triggers": {"x": "y"}}, "`triggers.x` of component.json must be an object"),
        ([], "neither triggers nor actions"),
        ({"triggers": {f"t{n}": {} for n in range(600)}}, "a connector may have 500"),
    ],
)
def test_a_description_without_functions_is_refused(
    described: Any, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_component(tmp_path / "c", described)
    assert main(["connectors", "add", "--repo", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--image, --component-json or --repo"),
        (("--repo", "a", "--component-json", "b"), "--image, --component-json or --repo"),
        (("--repo", "a", "--name", "Not A Name"), "cannot be a connector's name"),
        (("--repo", "nowhere"), "there is no folder nowhere"),
        (("--repo", "."), "has no component.json"),
        (("--component-json", "nowhere.json"), "cannot be read"),
    ],
)
def test_what_cannot_be_added_is_told(
    options: tuple[str, ...],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["connectors", "add", *options]) in (1, 2)
    assert told in capsys.readouterr().err


def test_the_file_is_written_for_people(tmp_path: Path) -> None:
    made = component(read=trigger(description="Long words. " * 20, fields={"a": {"viewClass": "TextFieldView"}}))
    add(write_component(tmp_path / "c", made), tmp_path / "out", "--name", "shop")
    text = written(tmp_path / "out").read_text()
    assert all(len(line) <= 130 for line in text.splitlines())
    assert "&" not in text
    assert "\ntriggers:\n  read:\n    title: Read\n" in text
    assert as_yaml(written(tmp_path / "out"))["name"] == "shop"
