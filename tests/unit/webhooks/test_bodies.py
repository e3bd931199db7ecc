"""What a body means, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.webhooks.bodies import Body, BodyError, check_encoding, decode, query_of

FORM = "application/x-www-form-urlencoded"
BOUNDARY = "xx--boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def data_of(content_type: str | None, body: bytes) -> Any:
    found = decode("POST", content_type, body, {})
    assert json.loads(found.text) == found.data == orjson.loads(found.text)
    return found.data


def refused(content_type: str | None, body: bytes) -> tuple[int, str]:
    with pytest.raises(BodyError) as caught:
        decode("POST", content_type, body, {})
    return caught.value.status, str(caught.value)


def multipart(*parts: tuple[str, bytes]) -> bytes:
    return (
        b"".join(
            b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head.encode(), content)
            for head, content in parts
        )
        + b"--%b--\r\n" % BOUNDARY.encode()
    )


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b'{"a": [1, 2.5, null, true, "\\u00e9"]}', {"a": [1, 2.5, None, True, "é"]}),
        ("APPLICATION/JSON; Charset=UTF-8", b"[1]", [1]),
        ("application/vnd.shop+json;v=2", b'"text"', "text"),
        ("application/json", b'\xef\xbb\xbf{"bom": true}', {"bom": True}),
        ("application/json", b'{"a": 1, "a": 2}', {"a": 2}),
        (FORM, b"a=1&b=&a=%C3%A9&c+d=x%26y", {"a": ["1", "é"], "b": "", "c d": "x&y"}),
        (f"{FORM}; charset=utf-8", b"payload=%7B%7D", {"payload": "{}"}),
        ("text/plain; charset=UTF-8", b'{"Type": "Notification"}', {"Type": "Notification"}),
        ("text/plain", "grüße".encode(), {"text": "grüße"}),
        ("text/csv", b"a;b\n1;2", {"text": "a;b\n1;2"}),
        ("text/plain", b"NaN", {"text": "NaN"}),
        ("text/plain", b"[" * 100 + b"]" * 100, {"text": "[" * 100 + "]" * 100}),
        ("application/json", b"", {}),
        (None, b"", {}),
    ],
)
def test_a_body_is_read_by_its_content_type(content_type: str | None, body: bytes, expected: Any) -> None:
    assert data_of(content_type, body) == expected


def test_json_is_kept_as_it_was_written_with_all_digits() -> None:
    body = b'{"amount": 19.90,  "id": 123456789012345678901234567890}'
    assert decode("POST", "application/json", body, {}).text == body


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nope",
        b'{"a": NaN}',
        b"[Infinity]",
        b"[-Infinity]",
        b'{"a": 1e400}',
        b"[-1e999]",
        b"1" * 5000,
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"'single'",
        b"[1,]",
        b'{"a": "\\ud800", "b": NaN}',
        b'{"a": "\\ud800", "b": 1e400}',
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    assert refused("application/json", body) == (400, "the body is not JSON")


@pytest.mark.parametrize("depth", [65, 1000, 10_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_json_may_be_nested_64_deep(depth: int, opening: bytes, closing: bytes) -> None:
    def nested(levels: int) -> bytes:
        return opening * levels + b"1" + closing * levels

    assert decode("POST", "application/json", nested(64), {}).text == nested(64)
    assert refused("application/json", nested(depth))[0] == 400
    half = opening * depth + b'"\\ud800"' + closing * depth
    assert refused("application/json", half)[0] == 400


def test_wide_json_is_not_deep() -> None:
    wide = orjson.dumps([{"items": [{"n": n}]} for n in range(1000)])
    assert decode("POST", "application/json", wide, {}).text == wide


def test_half_of_a_character_pair_becomes_a_question_mark() -> None:
    assert data_of("application/json", b'{"a": "cut \\uD83D", "n": 12.50}') == {"a": "cut ?", "n": 12.5}
    assert data_of("application/json", b'{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


def test_a_form_with_files_has_them_as_base64() -> None:
    body = multipart(
        ('name="title"', "Grüße".encode()),
        ('name="file"; filename="../../etc/passwd"', b"\x00\xff"),
        ('name="title"', b"again"),
    )
    found = decode("POST", MULTIPART, body, {})
    content = {"filename": "../../etc/passwd", "content_type": "text/plain", "size": 2, "base64": "AP8="}
    assert found.data == {"title": ["Grüße", "again"], "file": content}
    assert found.files == ("file",)


def test_a_file_may_be_sent_as_base64() -> None:
    body = multipart(('name="f"; filename="a.bin"\r\nContent-Transfer-Encoding: base64', b"AP8="))
    assert data_of(MULTIPART, body)["f"]["size"] == 2


def test_json_that_looks_like_a_file_is_no_file() -> None:
    forged = {
        "file": {"filename": "x", "content_type": "text/plain", "size": 1, "base64": "eA==", "path": "/etc/passwd"}
    }
    assert decode("POST", "application/json", orjson.dumps(forged), {}).files == ()
    part = multipart(('name="file"', orjson.dumps(forged["file"])))
    assert decode("POST", MULTIPART, part, {}).files == ()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (MULTIPART, b"no boundary in here"),
        (MULTIPART, multipart(('name="a"', b"1"))[:-6]),
        ("multipart/form-data", multipart(('name="a"', b"1"))),
        (f"multipart/form-data; boundary={'x' * 5000}", b"--x"),
        (MULTIPART, multipart(("filename=x", b"1"))),
        (MULTIPART, multipart(('name="a"', b"\xff"))),
        (MULTIPART, multipart((f'name="{"n" * 2000}"', b"1"))),
        (MULTIPART, multipart(*[('name="a"', b"1")] * 1001)),
        (FORM, b"a=%FF"),
        (FORM, b"\xff=1"),
        (FORM, b"&".join(b"a=1" for _ in range(1001))),
        ("application/xml", b"<a>"),
        ("application/xml", b"\xff"),
        ("text/xml", b"<a>\xff</a>"),
        ("text/plain", b"\xff"),
    ],
)
def test_a_broken_body_is_refused(content_type: str, body: bytes) -> None:
    assert refused(content_type, body)[0] == 400


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/octet-stream",
        "application/pdf",
        "image/png",
        "json",
        "application/json; charset=utf-16",
        "text/plain; charset=iso-8859-1",
        "application/json; charset*=utf-8''x",
        "multipart/mixed; boundary=x",
        ";",
    ],
)
def test_an_unknown_content_type_is_refused(content_type: str | None) -> None:
    assert refused(content_type, b"{}")[0] == 415


def test_the_query_is_the_data_of_a_request_without_body() -> None:
    query = query_of("a=1&b=x%20y&a=2")
    assert decode("GET", None, b"", query).data == {"a": ["1", "2"], "b": "x y"}
    assert decode("POST", None, b"", query).data == {}
    with pytest.raises(BodyError):
        query_of("a=%ff")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x"])
def test_a_compressed_body_is_refused(coding: str) -> None:
    with pytest.raises(BodyError) as caught:
        check_encoding(coding)
    assert caught.value.status == 415
    check_encoding(None)
    check_encoding("Identity")


XML = """<?xml version="1.0"?>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>
  <order id="7" currency="EUR">total<line>1</line><line/></order><![CDATA[<!DOCTYPE html>]]>
</soap:Body></soap:Envelope>"""


def test_xml_becomes_what_flowmate_makes_of_it() -> None:
    assert data_of("application/soap+xml", XML.encode()) == {
        "soap-Envelope": {
            "_attr": {"xmlns:soap": "http://schemas.xmlsoap.org/soap/envelope/"},
            "soap-Body": {
                "order": {"_attr": {"id": "7", "currency": "EUR"}, "_": "total", "line": ["1", None]},
                "_": "<!DOCTYPE html>",
            },
        }
    }


@pytest.mark.parametrize(
    "head",
    [
        "<!DOCTYPE a>",
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE a [<!ENTITY e "x"><!ENTITY f "&e;&e;&e;">]>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/x"> %p;]>',
    ],
)
def test_xml_with_a_document_type_is_refused(head: str) -> None:
    status, text = refused("application/xml", f"{head}<a>&e;</a>".encode())
    assert (status, text) == (400, "the XML has a document type; send it without")


def test_xml_nested_too_deep_is_refused() -> None:
    assert refused("text/xml", b"<a>" * 20_000 + b"</a>" * 20_000)[0] == 400


@given(st.binary(max_size=200), st.text(max_size=60))
def test_whatever_comes_is_read_or_refused(body: bytes, content_type: str) -> None:
    _read_or_refuse(content_type, body)


KINDS = ["application/json", FORM, MULTIPART, "text/xml", "text/plain", f"{MULTIPART}; charset=utf-8"]
PIECES = [b"<a>", b"</a>", b"&#xD800;", b"<!", b"[", b"{", b'"a":', b"\\ud800", b"1e9", b"--" + BOUNDARY.encode()]
PIECES += [
    b"\r\n",
    b'Content-Disposition: form-data; name="a"',
    b"; filename=x",
    b"--",
    b"=",
    b"&",
    b"%",
    b"\xc3",
    b"x",
]


@given(st.sampled_from(KINDS), st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join))
def test_whatever_looks_like_a_body_is_read_or_refused(content_type: str, body: bytes) -> None:
    _read_or_refuse(content_type, body)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=9))
def test_json_that_others_write_is_read(value: Any) -> None:
    text = json.dumps(value).encode()
    try:
        found = decode("POST", "application/json", text, {})
    except BodyError:
        assert any(len(digits) > 300 for digits in text.split())  # a number that is infinite as a double
        return
    assert json.loads(found.text) == json.loads(text)


def _read_or_refuse(content_type: str, body: bytes) -> None:
    found: Body | None = None
    status = 0
    try:
        found = decode("POST", content_type, body, {})
    except BodyError as error:
        status = error.status
    assert status in (400, 415) if found is None else orjson.loads(found.text) == found.data
