"""What stands for `{name}`: a value from a form never leads a request to a host that the manifest does not mean."""

from __future__ import annotations

import pytest

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.reach import address_of
from flowmate_airflow.auth.templates import filled_address, filled_json, filled_params
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.placeholders import names_in, names_in_host


@pytest.mark.parametrize(
    ("template", "value", "expected"),
    [
        ("https://{x}.example.com/token", "my-shop", "https://my-shop.example.com/token"),
        ("https://{x}.example.com/token", "a.b", "https://a.b.example.com/token"),
        ("https://{x}/token", "shop.example.com", "https://shop.example.com/token"),
        ("https://a.example.com:{x}/", "8443", "https://a.example.com:8443/"),
        ("https://a.example.com/{x}/token", "a/b?c#d e@f", "https://a.example.com/a%2Fb%3Fc%23d%20e%40f/token"),
        ("https://a.example.com/?q={x}&r=1", "1&r=2", "https://a.example.com/?q=1%26r%3D2&r=1"),
        ("https://a.example.com/{x}", "ü", "https://a.example.com/%C3%BC"),
        ("https://a.example.com/{x}", "..b", "https://a.example.com/..b"),
        ("{x}/token", "https://a.example.com", "https://a.example.com/token"),
        ("{x}/token", "https://a.example.com:8443/base/", "https://a.example.com:8443/base/token"),
        ("{x}", "https://a.example.com", "https://a.example.com"),
        ("{x}?a=b", "https://[2001:db8::1]", "https://[2001:db8::1]?a=b"),
    ],
)
def test_a_value_stands_where_it_may(template: str, value: str, expected: str) -> None:
    assert filled_address(template, {"x": value}) == expected


HOSTS = [
    "evil.com/",
    "evil.com#",
    "evil.com?",
    "evil.com\\",
    "evil.com:80",
    "a@evil.com",
    "evil.com%2f",
    "[::1]",
    ".evil",
    "evil.",
    "a..b",
    "-a",
    "a b",
    "ex\nample",
    "ex\u0430mple",
    "\u3002evil",
    "a" * 300,
]


@pytest.mark.parametrize("value", HOSTS)
def test_a_value_in_a_host_is_labels_only(value: str) -> None:
    with pytest.raises(LoginError) as caught:
        filled_address("https://{shop}.example.com/token", {"shop": value})
    assert caught.value.kind == "config"
    assert "evil" not in caught.value.text.replace("https://{shop}.example.com/token", "")


@pytest.mark.parametrize(
    "value",
    [
        "http://a.example.com",
        "a.example.com",
        "//a.example.com",
        "https://",
        "https:///a",
        "https://user:pw@a.example.com",
        "https://a.example.com?x=1",
        "https://a.example.com/#x",
        "https://a.example.com:0",
        "https://a.example.com:99999",
        "https://a.example.com:x",
        "https://a.example.com\\@b.example.com",
        "https://a.example.com/../b",
        "https://a b.example.com",
        "https://a.example.com/\n",
        "https://[::1",
        "ftp://a.example.com",
        "javascript:alert(1)",
        "https://ex\u0430mple.com",
    ],
)
def test_a_whole_address_speaks_tls_and_is_no_more_than_one(value: str) -> None:
    with pytest.raises(LoginError, match=r"`instance_url`"):
        filled_address("{instance_url}/token", {"instance_url": value})


def test_an_address_in_a_private_network_need_not_speak_tls() -> None:
    assert filled_address("{x}/t", {"x": "http://10.0.0.1:8080"}, private=True) == "http://10.0.0.1:8080/t"
    assert filled_address("http://a/t", {}, private=True) == "http://a/t"
    with pytest.raises(LoginError, match="private: true"):
        filled_address("http://a.example.com/t", {})


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_is_no_step_up_in_a_path(value: str) -> None:
    with pytest.raises(LoginError, match=r"`x` cannot be"):
        filled_address("https://a.example.com/accounts/{x}/token", {"x": value})
    assert filled_address("https://a.example.com/?x={x}", {"x": value}) == f"https://a.example.com/?x={value}"


@pytest.mark.parametrize("template", ["https://{x}.example.com", "https://a.example.com/{x}", "{x}/a"])
@pytest.mark.parametrize("values", [{}, {"x": ""}])
def test_a_missing_value_is_named(template: str, values: dict[str, str]) -> None:
    with pytest.raises(LoginError, match=r"`x` is not set") as caught:
        filled_address(template, values)
    assert caught.value.kind == "config"


def test_parameters_and_json_have_values_as_they_are() -> None:
    values = {"a": 'x&y="1"', "b": "2"}
    assert filled_params({"q": "{a}-{b}", "r": "{ b } {}"}, values) == {"q": 'x&y="1"-2', "r": "{ b } {}"}
    assert filled_json({"k": ["{a}", 1, None, {"l": "{b}"}]}, values) == {"k": ['x&y="1"', 1, None, {"l": "2"}]}
    # A value is no template.
    assert filled_params({"q": "{a}"}, {"a": "{b}", "b": "secret"}) == {"q": "{b}"}


def test_names_are_found() -> None:
    assert list(names_in({"a": "{x} {y-1}", "b": ["{z}", 1, "{ no }"]})) == ["x", "y-1", "z"]
    assert names_in_host("https://{a}.{b}.example.com/{c}") == ["a", "b"]
    assert names_in_host("{url}/{c}") == ["url"]
    assert names_in_host("https://example.com/{c}") == []


@pytest.mark.parametrize(
    ("hosts", "value", "is_listed"),
    [
        ([], "https://anything.example.net", True),
        (["*.example.com"], "https://eu.example.com", True),
        (["*.example.com"], "https://EU.Example.com:443/base", True),
        (["*.example.com"], "https://example.com.evil.net", False),
        (["*.example.com"], "https://example.com", False),
        (["*.example.com"], "https://eu.example.com:8443", False),
        (["a.example.com:8443"], "https://a.example.com:8443", True),
        (["{server}"], "https://anything.example.net", True),
        (["{other}", "*.{other}.example.com"], "https://a.eu.example.com", True),
        (["{missing}"], "https://a.example.com", False),
        (["[2001:db8::1]"], "https://[2001:db8:0::1]", True),
        (["*.example.com"], f"https://{'a' * 64}.example.com", False),
    ],
)
def test_a_host_that_a_value_alone_names_is_one_of_the_manifests(hosts: list[str], value: str, is_listed: bool) -> None:
    parts = {"server": "extra.server", "other": "extra.other", "missing": "extra.missing"}
    method = AuthMethod.model_validate({"optional": parts, "hosts": hosts})
    values = {"server": value, "other": "eu"}
    if is_listed:
        assert address_of(method, "{server}/token", values) == f"{value}/token"
        return
    with pytest.raises(LoginError, match=r"`server` leads to .* not among the `hosts`") as caught:
        address_of(method, "{server}/token", values)
    assert caught.value.kind == "config"
    # What the manifest's author wrote himself needs no list.
    assert address_of(method, "https://{other}.login.example.org/token", values)
