"""The connector `http` against a real web service."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from email.utils import formatdate
from typing import Any

import pytest
import yaml
from connector_process import CONNECTORS, Run
from http_service import Reply, Request, Service

from flowmate_airflow.catalog.manifest import Manifest

ROWS = [{"id": number} for number in range(7)]
SECRET = "hunter2-hunter2"
BASIC = {"auth": "basic", "username": "me", "passphrase": SECRET}
BEARER = {"auth": "bearer", "accessToken": SECRET}
KEY = {"auth": "api_key", "key": SECRET}


def slices(request: Request, offset: int, limit: int) -> list[dict[str, int]]:
    return ROWS[offset : offset + limit]


def test_the_manifest_names_the_functions_of_the_code(run_http: Run) -> None:
    manifest = Manifest.model_validate(yaml.safe_load((CONNECTORS / "http" / "connector.yaml").read_text()))
    assert list(manifest.triggers) == ["get"]
    assert list(manifest.actions) == ["post", "put", "patch", "delete"]
    done = run_http("nothing")
    assert "its functions: get, post, put, patch, delete" in done.errors[0].text


@pytest.mark.parametrize(
    ("body", "records", "expected"),
    [
        (ROWS, None, ROWS),
        ({"id": 1}, None, [{"id": 1}]),
        ({"data": {"items": ROWS}}, "data.items", ROWS),
        ({"pages": [{"rows": [1, 2]}]}, "pages.0.rows", [1, 2]),
        ({"one": {"id": 1}}, "one", [{"id": 1}]),
        ({"none": None}, "none", []),
        ([None, 1], None, [None, 1]),
        (Reply(b"", 204), None, []),
    ],
)
def test_get_finds_the_records(run_http: Run, service: Service, body: Any, records: Any, expected: Any) -> None:
    service.answer = lambda request: body
    done = run_http("get", {"url": service.url, **({"records": records} if records else {})})
    assert (done.code, done.data, done.errors) == (0, expected, [])
    assert done.progress[-1].done == len(expected)


def test_get_sends_query_and_headers(run_http: Run, service: Service) -> None:
    config = {
        "url": f"{service.url}/a?fixed=1",
        "query": {"n": 2, "flag": True, "many": ["a", "b c"], "none": None},
        "headers": {"X-Version": 3, "Accept": "application/vnd.test+json"},
    }
    assert run_http("get", config).code == 0
    (request,) = service.requests
    assert request.query == {"fixed": "1", "n": "2", "flag": "true", "many": "a,b c"}
    assert (request.headers["x-version"], request.headers["accept"]) == ("3", "application/vnd.test+json")


@pytest.mark.parametrize("in_body", [False, True])
def test_paging_by_link(run_http: Run, service: Service, in_body: bool) -> None:
    def answer(request: Request) -> Any:
        page = int(request.query.get("page", 0))
        rows = slices(request, page * 3, 3)
        link = f"/rows?page={page + 1}&state=open" if page < 2 else None
        if in_body:
            return {"rows": rows, "links": {"next": link}}
        return Reply(rows, headers={"Link": f'<{link}>; rel="next", </>; rel="first"'} if link else {})

    service.answer = answer
    config: dict[str, Any] = {"url": f"{service.url}/rows", "query": {"state": "open"}, "paging": {"type": "link"}}
    if in_body:
        config |= {"records": "rows", "paging": {"type": "link", "path": "links.next"}}
    done = run_http("get", config)
    assert (done.code, done.data) == (0, ROWS)
    assert [request.query["state"] for request in service.requests] == ["open"] * 3


def test_paging_by_cursor(run_http: Run, service: Service) -> None:
    def answer(request: Request) -> Any:
        at = int(request.query.get("after", 0))
        following = str(at + 3) if at + 3 < len(ROWS) else ""
        return {"items": slices(request, at, int(request.query["max"])), "meta": {"next": following}}

    service.answer = answer
    paging = {"type": "cursor", "path": "meta.next", "param": "after", "limit_param": "max", "size": 3}
    done = run_http("get", {"url": service.url, "records": "items", "paging": paging})
    assert (done.code, done.data) == (0, ROWS)
    assert len(service.requests) == 3


def test_a_cursor_that_stays_the_same_ends_with_an_empty_page(run_http: Run, service: Service) -> None:
    def answer(request: Request) -> Any:
        return {"id": "scroll", "rows": slices(request, (len(service.requests) - 1) * 4, 4)}

    service.answer = answer
    config = {"url": service.url, "records": "rows", "paging": {"type": "cursor", "path": "id"}}
    assert run_http("get", config).data == ROWS


@pytest.mark.parametrize("most", [100, 2])
def test_paging_by_offset(run_http: Run, service: Service, most: int) -> None:
    # The server may give fewer records than it was asked for; none may be missed then.
    def answer(request: Request) -> Any:
        return slices(request, int(request.query["offset"]), min(most, int(request.query["limit"])))

    service.answer = answer
    done = run_http("get", {"url": service.url, "paging": {"type": "offset", "size": 4}})
    assert (done.code, done.data) == (0, ROWS)


@pytest.mark.parametrize("after_last", [Reply([]), Reply({"detail": "no such page"}, 404)])
def test_paging_by_page(run_http: Run, service: Service, after_last: Reply) -> None:
    def answer(request: Request) -> Any:
        rows = slices(request, (int(request.query["p"]) - 1) * 4, int(request.query["n"]))
        return rows or after_last

    service.answer = answer
    paging = {"type": "page", "param": "p", "limit_param": "n", "size": 4}
    done = run_http("get", {"url": service.url, "paging": paging})
    assert (done.code, done.data, done.errors) == (0, ROWS, [])
    assert [request.query["p"] for request in service.requests] == ["1", "2", "3"]


def test_max_pages_stops_and_says_so(run_http: Run, service: Service) -> None:
    service.answer = lambda request: [{"page": request.query["page"]}]
    paging = {"type": "page", "start": 5, "max_pages": 2}
    done = run_http("get", {"url": service.url, "paging": paging})
    assert (done.code, done.data) == (0, [{"page": "5"}, {"page": "6"}])
    assert "max_pages" in done.logs[-1].text


@pytest.mark.parametrize(
    "paging",
    [{"type": "page"}, {"type": "offset"}, {"type": "link", "path": "next"}, {"type": "cursor", "path": "next"}],
)
def test_a_server_that_ignores_paging_does_not_run_for_ever(
    run_http: Run, service: Service, paging: dict[str, Any]
) -> None:
    service.answer = lambda request: {"rows": ROWS, "next": "/same"}
    done = run_http("get", {"url": service.url, "records": "rows", "paging": paging})
    assert done.code == 78
    assert "the same" in done.errors[0].text
    assert len(service.requests) <= 3


@pytest.mark.parametrize(
    ("credentials", "header", "value"),
    [
        (BASIC, "authorization", "Basic " + b64encode(f"me:{SECRET}".encode()).decode()),
        (BEARER, "authorization", f"Bearer {SECRET}"),
        (KEY, "x-api-key", SECRET),
        ({**KEY, "headerName": "X-Shop"}, "x-shop", SECRET),
    ],
)
def test_credentials_reach_the_service(
    run_http: Run, service: Service, credentials: dict[str, str], header: str, value: str
) -> None:
    done = run_http("get", {"url": "/rows"}, credentials={**credentials, "baseUrl": f"{service.url}/v1/"})
    assert done.code == 0
    assert service.requests[0].path == "/v1/rows"
    assert service.requests[0].headers[header] == value
    assert SECRET not in done.stdout.decode() + done.stderr


def test_a_key_in_the_query_is_there_once_on_each_page_and_in_no_text(run_http: Run, service: Service) -> None:
    def answer(request: Request) -> Any:
        if request.path == "/two":
            return Reply("wrong", 400)
        # Services repeat the whole query in their links, the key with it.
        return {"rows": [1], "next": f"/two?token={SECRET}&page=2"}

    service.answer = answer
    config = {"url": "/one", "query": {"q": "a b"}, "records": "rows", "paging": {"type": "link", "path": "next"}}
    done = run_http("get", config, credentials={**KEY, "queryParam": "token", "baseUrl": service.url})
    assert [request.query for request in service.requests] == [
        {"q": "a b", "token": SECRET},
        {"page": "2", "token": SECRET},
    ]
    assert done.errors[0].text == f'GET {service.url}/two answered 400: "wrong"'
    assert SECRET not in done.stdout.decode() + done.stderr


def test_credentials_stay_at_home_on_a_redirect(run_http: Run, service: Service, other_service: Service) -> None:
    service.answer = lambda request: Reply("", 307, {"Location": f"{other_service.url}/steal"})
    done = run_http("get", {"url": "/rows"}, credentials={**BEARER, "baseUrl": service.url})
    assert (done.code, done.errors[0].failure_type) == (78, "config")
    assert service.host in done.errors[0].text
    assert other_service.host in done.errors[0].text
    assert other_service.requests == []


def test_credentials_stay_at_home_on_a_paging_link(run_http: Run, service: Service, other_service: Service) -> None:
    service.answer = lambda request: {"rows": [1], "next": f"{other_service.url}/steal"}
    config = {"url": service.url, "records": "rows", "paging": {"type": "link", "path": "next"}}
    done = run_http("get", config, credentials=KEY)
    assert (done.code, done.data) == (78, [1])
    assert service.host in done.errors[0].text
    assert other_service.host in done.errors[0].text
    assert other_service.requests == []


@pytest.mark.parametrize("url", ["{other}/rows", "http://{home}@{other_host}/", "http://{home}\\@{other_host}/"])
def test_credentials_are_for_the_connections_host_only(
    run_http: Run, service: Service, other_service: Service, url: str
) -> None:
    url = url.format(other=other_service.url, home=service.host, other_host=other_service.host)
    done = run_http("get", {"url": url}, credentials={**BASIC, "baseUrl": service.url})
    assert done.code == 78
    assert other_service.requests == service.requests == []


def test_without_credentials_a_redirect_is_followed_but_headers_stay(
    run_http: Run, service: Service, other_service: Service
) -> None:
    service.answer = lambda request: Reply("", 302, {"Location": f"{other_service.url}/there?x=1"})
    other_service.answer = lambda request: ROWS
    done = run_http("get", {"url": service.url, "headers": {"X-Secret": "s"}, "query": {"q": "1"}})
    assert (done.code, done.data) == (0, ROWS)
    assert service.requests[0].headers["x-secret"] == "s"
    assert "x-secret" not in other_service.requests[0].headers
    assert other_service.requests[0].query == {"x": "1"}


def test_a_redirect_at_home_keeps_the_credentials(run_http: Run, service: Service) -> None:
    service.answer = lambda request: Reply("", 308, {"Location": "/new"}) if request.path == "/old" else request.json
    done = run_http("post", {"url": "/old"}, {"a": 1}, credentials={**BEARER, "baseUrl": service.url})
    assert (done.code, done.data) == (0, [{"a": 1}])
    assert service.requests[1].headers["authorization"] == f"Bearer {SECRET}"


def test_a_post_is_not_turned_into_a_get(run_http: Run, service: Service) -> None:
    service.answer = lambda request: Reply("", 301, {"Location": "/new"})
    done = run_http("post", {"url": f"{service.url}/old"}, {"a": 1})
    assert (done.code, len(service.requests)) == (78, 1)
    assert f"has moved to {service.url}/new" in done.errors[0].text


def test_redirects_end(run_http: Run, service: Service) -> None:
    service.answer = lambda request: Reply("", 302, {"Location": "/again"})
    done = run_http("get", {"url": service.url})
    assert done.code == 78
    assert "redirects" in done.errors[0].text


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_a_config_error(run_http: Run, service: Service, status: int) -> None:
    service.answer = lambda request: Reply(b"not you\n" + b"x" * 100_000, status)
    credentials = {**BEARER, "baseUrl": service.url}
    done = run_http("get", {"url": "/rows?token=abc"}, credentials=credentials)
    assert (done.code, done.errors[0].failure_type, len(service.requests)) == (78, "config", 1)
    assert done.errors[0].text == f"GET {service.url}/rows answered {status}: not you {'x' * 192}"
    done = run_http("post", {"url": "/rows"}, {}, {}, credentials=credentials, on_error="skip")
    assert (done.code, [error.message_id for error in done.errors]) == (78, ["1"])


@pytest.mark.parametrize("retry_after", ["0", formatdate(0, usegmt=True)])
@pytest.mark.parametrize("function", ["get", "post"])
def test_429_is_tried_again_when_the_server_says(
    run_http: Run, service: Service, retry_after: str, function: str
) -> None:
    def answer(request: Request) -> Any:
        return Reply("slow down", 429, {"Retry-After": retry_after}) if len(service.requests) < 4 else {"ok": 1}

    service.answer = answer
    done = run_http(function, {"url": service.url}, *([{"a": 1}] if function == "post" else []))
    assert (done.code, done.data, len(service.requests)) == (0, [{"ok": 1}], 4)
    assert "answered 429; trying again" in done.logs[0].text


def test_a_long_retry_after_is_left_to_the_host(run_http: Run, service: Service) -> None:
    service.answer = lambda request: Reply("tomorrow", 429, {"Retry-After": "86400"})
    done = run_http("get", {"url": service.url})
    assert (done.code, done.errors[0].failure_type, len(service.requests)) == (75, "transient", 1)


@pytest.mark.parametrize(("function", "tries"), [("get", 2), ("put", 2), ("delete", 2), ("post", 1), ("patch", 1)])
def test_500_is_transient_and_only_safe_methods_are_tried_again(
    run_http: Run, service: Service, function: str, tries: int
) -> None:
    service.answer = lambda request: Reply("boom", 500)
    done = run_http(function, {"url": service.url, "retries": 1}, *([{}] if function != "get" else []))
    assert (done.code, done.errors[0].failure_type, len(service.requests)) == (75, "transient", tries)
    assert 'answered 500: "boom"' in done.errors[0].text


@pytest.mark.parametrize("function", ["get", "post"])
def test_nobody_there_is_transient(run_http: Run, function: str) -> None:
    with socket.socket() as taken:
        # Bound but not listening: connections are refused, and no other process can take the port.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x?key=abc"
        done = run_http(function, {"url": url, "retries": 1}, *([{}] if function == "post" else []))
    assert (done.code, done.errors[0].failure_type) == (75, "transient")
    assert "tried 2 times" in done.errors[0].text
    assert b"abc" not in done.stdout


def test_no_answer_in_time_is_transient(run_http: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        done = run_http("post", {"url": url, "timeout": 0.2}, {"a": 1})
    assert (done.code, done.errors[0].failure_type) == (75, "transient")
    assert "no answer within 0.2 s (tried 1 times)" in done.errors[0].text


def test_another_4xx_is_the_messages_error(run_http: Run, service: Service) -> None:
    service.answer = lambda request: (
        Reply({"bad": "total"}, 422) if request.json["n"] == 2 else {"id": request.json["n"]}
    )
    messages = [{"n": 1}, {"n": 2}, {"n": 3}]
    done = run_http("post", {"url": f"{service.url}/o?k=v"}, *messages, on_error="skip")
    assert (done.code, done.messages) == (0, [{"id": "1", "data": {"id": 1}}, {"id": "3", "data": {"id": 3}}])
    (error,) = done.errors
    assert (error.message_id, error.text) == ("2", f'POST {service.url}/o answered 422: {{"bad": "total"}}')
    done = run_http("post", {"url": service.url}, *messages)
    assert (done.code, done.data) == (78, [{"id": 1}])


def test_a_4xx_of_a_trigger_is_a_config_error(run_http: Run, service: Service) -> None:
    service.answer = lambda request: Reply("nothing here", 404)
    done = run_http("get", {"url": service.url})
    assert (done.code, done.errors[0].failure_type, done.errors[0].message_id) == (78, "config", None)


@pytest.mark.parametrize(
    ("function", "config", "body"),
    [
        ("post", {}, {"id": 7, "n": "ü"}),
        ("put", {"body": {"fixed": [1]}}, {"fixed": [1]}),
        ("patch", {"body": None}, None),
        ("delete", {"body": {"why": "x"}}, {"why": "x"}),
    ],
)
def test_actions_send_json(run_http: Run, service: Service, function: str, config: dict[str, Any], body: Any) -> None:
    service.answer = lambda request: {"got": request.json}
    done = run_http(function, {"url": service.url, **config}, {"id": 7, "n": "ü"})
    assert done.messages == [{"id": "1", "data": {"got": body}}]
    assert service.requests[0].method == function.upper()
    assert service.requests[0].headers["content-type"] == "application/json"


def test_delete_sends_no_body_of_its_own(run_http: Run, service: Service) -> None:
    service.answer = lambda request: Reply(b"", 204)
    done = run_http("delete", {"url": f"{service.url}/items/{{id}}"}, {"id": 7})
    assert done.data == [{"status": 204, "body": None}]
    assert (service.requests[0].path, service.requests[0].body) == ("/items/7", b"")


def test_an_answer_that_is_not_json_comes_with_its_status(run_http: Run, service: Service) -> None:
    service.answer = lambda request: Reply("für dich".encode(), 201, {"Content-Type": "text/plain"})
    assert run_http("post", {"url": service.url}, {}).data == [{"status": 201, "body": "für dich"}]


def test_a_url_is_filled_from_the_message(run_http: Run, service: Service) -> None:
    message = {"customer": {"id": "a/b?c#d ü{x}"}, "n": 1.5}
    done = run_http("put", {"url": f"{service.url}/c/{{customer.id}}/n/{{n}}"}, message)
    assert done.code == 0
    assert service.requests[0].path == "/c/a%2Fb%3Fc%23d%20%C3%BC%7Bx%7D/n/1.5"


@pytest.mark.parametrize("value", ["", "..", ".", None, {"x": 1}, " "])
def test_a_placeholder_never_turns_one_thing_into_all(run_http: Run, service: Service, value: Any) -> None:
    done = run_http("delete", {"url": f"{service.url}/items/{{id}}"}, {"id": value}, {}, on_error="skip")
    assert (done.code, [error.message_id for error in done.errors]) == (0, ["1", "2"])
    assert service.requests == []


def test_a_message_does_not_pick_the_host(run_http: Run, service: Service) -> None:
    done = run_http("post", {"url": "http://{host}/x"}, {"host": service.host})
    assert (done.code, service.requests) == (78, [])


@pytest.mark.parametrize("body", [b'[{"a": NaN}]', b"<html>", b'{"a": ', b"[" * 100_000])
def test_what_is_not_json_is_a_clear_error(run_http: Run, service: Service, body: bytes) -> None:
    service.answer = lambda request: Reply(body)
    done = run_http("get", {"url": f"{service.url}/rows?k=v"})
    assert (done.code, done.data) == (78, [])
    assert done.errors[0].text.startswith(f"{service.url}/rows answered what is not JSON: ")
    assert "Traceback" not in done.stderr


def test_a_huge_response_is_refused(run_http: Run, service: Service) -> None:
    service.answer = lambda request: Reply(json.dumps(["x" * 3_000_000]).encode())
    done = run_http("get", {"url": service.url, "max_bytes": 1_000_000})
    assert (done.code, done.data) == (78, [])
    assert "more than 1000000 bytes" in done.errors[0].text
    assert run_http("get", {"url": service.url}).code == 0


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({}, "`url` is missing"),
        ({"url": "/relative"}, "relative"),
        ({"url": "ftp://host/x"}, "no absolute http"),
        ({"url": "http://host:99999/"}, "broken host or port"),
        ({"url": "http://host/", "qury": {}}, "unknown field `qury`"),
        ({"url": "http://host/", "paging": {"type": "pages"}}, "`paging.type` is 'pages'"),
        ({"url": "http://host/", "paging": {"type": "cursor"}}, "needs `path`"),
        ({"url": "http://host/", "timeout": "soon"}, "`timeout` is 'soon'"),
        ({"url": "http://host/", "headers": {"A": "b\nc"}}, "InvalidHeader"),
    ],
)
def test_wrong_fields_are_config_errors(run_http: Run, config: dict[str, Any], part: str) -> None:
    done = run_http("get", config)
    assert (done.code, done.errors[0].failure_type) == (78, "config")
    assert part in done.errors[0].text


def test_records_that_are_not_there_are_a_config_error(run_http: Run, service: Service) -> None:
    service.answer = lambda request: {"items": [], "total": 0}
    done = run_http("get", {"url": service.url, "records": "data.rows"})
    assert done.code == 78
    assert "has no `data.rows`; its keys are items, total" in done.errors[0].text
    done = run_http("get", {"url": service.url, "paging": {"type": "page"}})
    assert "say with `records`" in done.errors[0].text


def test_check(run_http: Run, service: Service) -> None:
    credentials = {**BEARER, "baseUrl": service.url}
    service.answer = lambda request: Reply("", 404)
    assert run_http("check", credentials=credentials).code == 0
    service.answer = lambda request: Reply("who?", 401)
    assert run_http("check", credentials=credentials).code == 78
    assert run_http("check").code == 0


def test_credentials_that_are_incomplete_are_named(run_http: Run, service: Service) -> None:
    done = run_http("get", {"url": service.url}, credentials={"auth": "basic", "username": "me"})
    assert (done.code, done.errors[0].text) == (78, "the connection gives no `passphrase`")
    assert service.requests == []
