"""Which hosts are meant, in all the ways that a host can be written."""

from __future__ import annotations

import pytest

from flowmate_airflow.runtimes.egress.rules import Egress, Host, host_and_port, host_name, hosts_of

SHOP = Egress("shop", hosts_of(["api.shop.example", "*.cdn.example", "db.shop.example:5432", "[2001:db8::1]:8443"]))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("API.Shop.Example.", "api.shop.example"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
    ],
)
def test_a_host_has_one_form(text: str, name: str) -> None:
    assert host_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "müller.example",
        "a b",
        "a\r\nb",
        "a/b",
        "a@b",
        "*.a",
        "[::1%lo]",
        "[127.0.0.1]",
        "[x]",
        "a" * 254,
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        host_name(text)


@pytest.mark.parametrize("text", ["a", "a:", "a:0", "a:65536", "a:1:2", "u@a:1", "a:1/", "a:\u0661", "::1:80"])
def test_what_is_no_host_with_a_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        host_and_port(text)


@pytest.mark.parametrize(
    ("name", "port", "allowed"),
    [
        ("api.shop.example", 443, True),
        ("api.shop.example", 80, True),
        ("api.shop.example", 22, False),
        ("shop.example", 443, False),
        ("x.api.shop.example", 443, False),
        ("evilapi.shop.example", 443, False),
        ("api.shop.example.evil.example", 443, False),
        ("a.cdn.example", 443, True),
        ("a.b.cdn.example", 443, True),
        ("cdn.example", 443, False),
        ("evilcdn.example", 443, False),
        ("db.shop.example", 5432, True),
        ("db.shop.example", 443, False),
        ("2001:db8::1", 8443, True),
        ("2130706433", 80, False),
    ],
)
def test_only_what_is_listed_is_allowed(name: str, port: int, allowed: bool) -> None:
    assert SHOP.allows(name, port) is allowed


def test_nothing_listed_allows_nothing() -> None:
    assert not Egress("shop", ()).allows("api.shop.example", 443)
    assert Egress("shop", ()).refusal("a.example", 443).endswith("hosts of shop's manifest (none)")


def test_a_refusal_names_a_few_of_the_hosts() -> None:
    many = Egress("shop", hosts_of(f"h{number}.example" for number in range(12)))
    assert "h9.example and 2 more)" in many.refusal("evil.example", 443)
    assert "h10" not in many.refusal("evil.example", 443)


def test_there_is_nothing_below_an_address() -> None:
    with pytest.raises(ValueError, match="nothing below an address"):
        hosts_of(["*.192.0.2.1"])


def test_hosts_are_shown_as_they_are_written() -> None:
    assert [str(host) for host in SHOP.hosts] == [
        "api.shop.example",
        "*.cdn.example",
        "db.shop.example:5432",
        "[2001:db8::1]:8443",
    ]
    assert hosts_of(["A.example", "a.example."]) == (Host("a.example"),)
