"""What a Singer program's help, description and log tell."""

from __future__ import annotations

import logging

import orjson
import pytest

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.singer_about import read_about, settings_schema, singer_facts
from flowmate_airflow.protocols.singer_catalog import read_catalog, selected_catalog
from flowmate_airflow.protocols.singer_log import SingerLog
from flowmate_airflow.protocols.streams import SelectedStream, Stream

SDK_TAP = """Options:
  --version                 Display the package version.
  --about                   Display package metadata and settings.
  --format [json|markdown]  Specify output style for --about
  --config TEXT             Configuration file location
  --discover                Run the tap in discovery mode.
  --catalog FILENAME        Use a Singer catalog file with the tap.
  --state FILENAME          Use a bookmarks file for incremental replication.
"""
CLASSIC = """usage: t [-h] -c CONFIG [-s STATE] [-p PROPERTIES]
  -s STATE, --state STATE
  -p PROPERTIES, --properties PROPERTIES
  -d, --discover
"""
ABOUT = {
    "name": "target-x",
    "capabilities": ["about"],
    "settings": {
        "type": "object",
        "required": ["host", "password", "ssh"],
        "properties": {
            "host": {"type": "string"},
            "password": {"type": "string"},
            "page_token_name": {"type": "string"},
            "use_token": {"type": "boolean"},
            "cert": {"type": "string", "secret": True},
            "load_method": {"type": "string"},
            "batch_config": {"type": "object"},
            "ssh": {
                "type": "object",
                "required": ["key", "private_key"],
                "properties": {"key": {"type": "string"}, "private_key": {"type": "string"}},
            },
        },
    },
}


def test_options_are_found_in_the_help() -> None:
    assert singer_facts(SDK_TAP) == SingerImage(about=True)
    assert singer_facts(CLASSIC) == SingerImage(catalog="properties")
    nothing = SingerImage(catalog="none", discover=False, state=False)
    assert singer_facts("usage: target [-h] [-c CONFIG]\n  -c CONFIG, --config CONFIG") == nothing
    assert singer_facts("", "traceback") == nothing


def test_the_description_tells_what_the_help_does_not() -> None:
    text = f"UserWarning: old\n{orjson.dumps(ABOUT, option=orjson.OPT_INDENT_2).decode()}\n"
    assert singer_facts("--config --about", text).load_method
    assert singer_facts("", '{"capabilities":["catalog","discover","state"],"settings":{}}') == SingerImage(about=True)


def test_secrets_are_told_from_settings() -> None:
    about = read_about("warning\n" + orjson.dumps(ABOUT).decode())
    assert about is not None
    settings = settings_schema(about)
    assert settings.secrets == ["cert", "password", "ssh.private_key"]
    assert settings.required_secrets == ["password", "ssh.private_key"]
    assert settings.fields.keys() == {"host", "page_token_name", "use_token", "load_method", "ssh"}
    assert settings.required == ["host", "ssh"]
    assert settings.fields["ssh"]["properties"] == {"key": {"type": "string"}}
    assert settings.fields["ssh"]["required"] == ["key"]


def test_settings_that_make_no_sense_are_left_out() -> None:
    for about in ({}, {"settings": []}, {"settings": {"properties": [], "required": 5}}):
        assert settings_schema(about) == ({}, [], [], [])


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("INFO Starting", logging.INFO),
        ("2024-01-01 12:00:00,123 | WARNING  | tap-x   | careful", logging.WARNING),
        ("2024-01-01 12:00:00,123 | INFO     | tap-x   | an ERROR in words", logging.INFO),
        ("time=2024-01-01 12:00:00 name=singer level=CRITICAL message=dead", logging.CRITICAL),
        ("[2024-01-01T12:00:00Z] ERROR: no", logging.ERROR),
        ('{"level":"error","event":"x"}', logging.ERROR),
        ('{"levelname":"WARN"}', logging.WARNING),
        ("/x/y.py:4: UserWarning: pkg_resources", logging.WARNING),
        ("KeyError: 'x'", logging.ERROR),
        ("Information about errors", logging.INFO),
        ("", logging.INFO),
    ],
)
def test_a_line_has_the_level_it_says(line: str, level: int) -> None:
    assert SingerLog().take(line.encode()).level == level


def test_a_traceback_is_an_error_to_its_end() -> None:
    log = SingerLog()
    lines = [b"Traceback (most recent call last):", b"  File", b"    x", b"ValueError: no", b"INFO after"]
    assert [log.take(line).level for line in lines] == [logging.ERROR] * 4 + [logging.INFO]
    assert log.explain() == "ValueError: no"


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (["singer_sdk.exceptions.FatalAPIError: 401 Client Error: Unauthorized for path: /x"], "config"),
        (["singer_sdk.exceptions.RetriableAPIError: 503 Server Error: Unavailable"], "transient"),
        (["requests.exceptions.HTTPError: 429 Client Error: Too Many Requests for url"], "transient"),
        (["ERROR backing off after Connection refused", "HTTPError: 403 Client Error: Forbidden for url"], "config"),
        (["ERROR 401 Client Error, refreshing the token", "ReadTimeoutError: Read timed out."], "transient"),
        (['  key = config["api_key"]', "KeyError: 'api_key'"], "config"),
        (['  key = row["api_key"]', "KeyError: 'api_key'"], "system"),
        (["jsonschema.exceptions.ValidationError: 'host' is a required property"], "config"),
        (["Exception: Config is missing required keys: ['user']"], "config"),
        (["OperationalError: connection failed: FATAL:  password authentication failed for user"], "config"),
        (["ConnectionResetError: [Errno 104] Connection reset by peer"], "transient"),
        (["INFO 401 records read", "ValueError: strange"], "system"),
        ([], "system"),
    ],
)
def test_the_log_tells_who_must_act(lines: list[str], kind: str) -> None:
    log = SingerLog()
    for line in ["Traceback (most recent call last):" if any(" = " in each for each in lines) else "", *lines]:
        log.take(line.encode())
    assert log.failure_type() == kind


def test_a_reason_of_several_lines_is_told_whole() -> None:
    log = SingerLog()
    for line in ["time=1 name=t level=ERROR message=Invalid configuration:", "   * filepath is missing"]:
        log.take(line.encode())
    assert log.explain() == "Invalid configuration: * filepath is missing"


def test_the_reason_is_no_part_of_a_traceback() -> None:
    log = SingerLog()
    trace = ["Traceback (most recent call last):", "  raise X(", "X.ConfigValidationError: Config validation failed"]
    for line in trace:
        log.take(line.encode())
    assert log.explain() == "X.ConfigValidationError: Config validation failed"
    other = SingerLog()
    for line in ["2024-01-01 01:01:01,1 | ERROR | tap | 5 is not of type 'string'", *trace]:
        other.take(line.encode())
    assert other.explain() == "5 is not of type 'string'"


def test_a_stream_without_catalog_entry_gets_one() -> None:
    stream = Stream("orders", {"properties": {"id": {}, "at": {}, "x": {}}}, primary_key=("id",))
    (entry,) = selected_catalog([SelectedStream(stream, frozenset({"x"}), "incremental", "at")])["streams"]
    metadata = {tuple(each["breadcrumb"]): each["metadata"] for each in entry["metadata"]}
    assert metadata[()] == {"selected": True, "replication-method": "INCREMENTAL", "replication-key": "at"}
    assert {crumb[-1] for crumb, about in metadata.items() if about["selected"] and crumb} == {"id", "at", "x"}
    assert (entry["tap_stream_id"], entry["replication_key"]) == ("orders", "at")


def test_a_method_that_the_tap_forces_stays() -> None:
    raw = {
        "stream": "orders",
        "schema": {"properties": {"id": {"inclusion": "automatic"}, "bad": {"inclusion": "unsupported"}}},
        "metadata": [{"breadcrumb": [], "metadata": {"forced-replication-method": "FULL_TABLE"}}, 5, {"breadcrumb": 1}],
        "key_properties": ["id"],
    }
    (stream,) = read_catalog({"streams": [raw]})
    assert (stream.primary_key, stream.incremental, stream.automatic) == (("id",), False, {"id"})
    (forced,) = selected_catalog([SelectedStream(stream, None, "incremental", "id")])["streams"]
    assert forced["metadata"][0]["metadata"] == {"forced-replication-method": "FULL_TABLE", "selected": True}
    (entry,) = selected_catalog([SelectedStream(stream, None, "incremental")], classic=True)["streams"]
    assert entry["metadata"][0]["metadata"] == {"forced-replication-method": "FULL_TABLE", "selected": True}
    assert entry["schema"]["selected"] is True
    assert entry["schema"]["properties"]["id"]["selected"] is True
    assert entry["schema"]["properties"]["bad"]["selected"] is False
    assert "selected" not in raw["schema"], "the catalog that is kept stays as it is"


def test_a_whole_object_is_selected_with_all_its_fields() -> None:
    inner = {"properties": {"email": {}, "address": {"properties": {"city": {}}}}}
    stream = Stream("orders", {"properties": {"buyer": inner, "seller": inner}})
    (entry,) = selected_catalog([SelectedStream(stream, frozenset({"buyer", "seller.address.city"}))])["streams"]
    selected = {".".join(each["breadcrumb"][1::2]) for each in entry["metadata"] if each["metadata"]["selected"]}
    buyer = {"buyer", "buyer.email", "buyer.address", "buyer.address.city"}
    assert selected == {"", *buyer, "seller", "seller.address", "seller.address.city"}


def test_all_is_read_anew_where_that_is_asked() -> None:
    raw = {
        "stream": "a",
        "schema": {"properties": {"at": {}}},
        "replication_method": "INCREMENTAL",
        "replication_key": "at",
    }
    (stream,) = read_catalog({"streams": [raw]})
    (entry,) = selected_catalog([SelectedStream(stream, frozenset())])["streams"]
    assert entry["replication_method"] == "FULL_TABLE"
    assert entry["metadata"][0]["metadata"] == {"selected": True, "replication-method": "FULL_TABLE"}
    assert entry["metadata"][1]["metadata"] == {"selected": True}, "the tap reads its replication key in any case"
