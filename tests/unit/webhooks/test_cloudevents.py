"""CloudEvents in, in each of the three modes."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.webhooks.bodies import BodyError, decode
from flowmate_airflow.webhooks.cloudevents import (
    as_text,
    binary_event,
    identity,
    is_binary,
    is_structured,
    structured_events,
)

ONE = "application/cloudevents+json; charset=UTF-8"
BATCH = "application/cloudevents-batch+json"
EVENT: dict[str, Any] = {"specversion": "1.0", "id": "a1", "source": "/shop", "type": "order.paid", "data": {"n": 1}}
HEADERS = (("ce-specversion", "1.0"), ("ce-id", "a1"), ("ce-source", "/shop"), ("ce-type", "order.paid"))


def test_an_event_and_a_batch_are_told_by_the_content_type() -> None:
    assert is_structured(ONE)
    assert is_structured(BATCH)
    assert not is_structured("application/json")
    assert not is_structured(None)
    with pytest.raises(BodyError) as caught:
        is_structured("application/cloudevents+avro")
    assert caught.value.status == 415
    assert structured_events(ONE, orjson.dumps(EVENT)) == [EVENT]
    assert structured_events(BATCH, orjson.dumps([EVENT, {**EVENT, "id": "a2"}])) == [EVENT, {**EVENT, "id": "a2"}]
    assert structured_events(BATCH, b"[]") == []


def test_a_batch_is_accepted_as_such_only() -> None:
    for content_type, body in ((ONE, [EVENT]), (BATCH, EVENT)):
        with pytest.raises(BodyError):
            structured_events(content_type, orjson.dumps(body))
    with pytest.raises(BodyError) as caught:
        structured_events(BATCH, orjson.dumps([EVENT] * 1001))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": ""},
        {"source": 7},
        {"type": None},
        {"specversion": "0.3"},
        {"specversion": None},
        {"Upper": "x"},
        {"with-dash": "x"},
        {"extension": {"deep": 1}},
        {"extension": 1.5},
        {"extension": "x" * 5000},
        {"data_base64": "AA=="},
        {f"x{number}": 1 for number in range(100)},
    ],
)
def test_what_is_no_event_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(BodyError) as caught:
        structured_events(ONE, orjson.dumps({**EVENT, **change}))
    assert caught.value.status == 400


def test_binary_data_is_read_by_its_content_type() -> None:
    def data(base64: Any, kind: str | None) -> Any:
        event = {name: value for name, value in EVENT.items() if name != "data"}
        (found,) = structured_events(ONE, orjson.dumps({**event, "data_base64": base64, "datacontenttype": kind}))
        assert "data_base64" not in found
        return found["data"]

    assert data("eyJuIjoxfQ==", None) == {"n": 1}
    assert data("eyJuIjoxfQ==", "application/x+json") == {"n": 1}
    assert data("aGk=", "text/plain") == {"text": "hi"}
    assert data("AP8=", "image/png") == {"content_type": "image/png", "size": 2, "base64": "AP8="}
    for wrong in ("not base64!", 7, "eyJu"):
        with pytest.raises(BodyError):
            data(wrong, None)


def test_numbers_keep_their_digits() -> None:
    body = json.dumps({**EVENT, "data": {"id": 123456789012345678901234567890}}).encode()
    (event,) = structured_events(ONE, body)
    assert json.loads(as_text(event)) == json.loads(body)


def test_headers_make_an_event_of_a_body() -> None:
    headers = (*HEADERS, ("ce-subject", '"50%25 \\"off\\" %E2%82%AC"'), ("other", "x"))
    assert is_binary(dict(headers))
    assert not is_binary({"ce-id": "a1"})
    body = decode("POST", "application/json", b'{"n": 1.50}', {})
    event = binary_event(headers, "application/json", body)
    assert event == {
        **{**EVENT, "data": {"n": 1.5}},
        **{"datacontenttype": "application/json", "subject": '50% "off" €'},
    }
    assert b'"data":{"n": 1.50}}' in as_text(event, body.text)
    assert json.loads(as_text(event, body.text)) == {**event, "data": {"n": 1.5}}
    assert identity(event) == "/shop a1"


@pytest.mark.parametrize(
    "more",
    [
        (("ce-datacontenttype", "x"),),
        (("ce-id", "again"),),
        (("ce-subject", "%"),),
        (("ce-subject", "%2"),),
        (("ce-subject", "%FF"),),
        (("ce-", "x"),),
    ],
)
def test_headers_that_are_no_event_are_refused(more: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(BodyError):
        binary_event((*HEADERS, *more), None, decode("POST", None, b"", {}))


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner)
    )
)
def test_whatever_comes_is_an_event_or_refused(value: Any) -> None:
    for body in (value, {**EVENT, "more": value}, {**EVENT, "data_base64": value}):
        try:
            (event,) = structured_events(ONE, json.dumps(body).encode())
        except BodyError:
            continue
        assert orjson.loads(as_text(event))


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_whatever_stands_in_a_header_is_read_or_refused(text: str) -> None:
    try:
        event = binary_event((*HEADERS, ("ce-subject", text)), None, decode("POST", None, b"", {}))
    except BodyError:
        return
    assert orjson.loads(as_text(event))
