"""The addresses that senders are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flowmate_airflow.settings import SettingError
from flowmate_airflow.webhooks.addresses import checked_base, hook_url, public_url


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "airflow.configuration", raising=False)
    for name in ("AIRFLOW__FLOWMATE__PUBLIC_URL", "AIRFLOW__API__BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_an_address_is_made_of_the_public_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.internal:8080/af")
    assert hook_url("orders") == "http://airflow.internal:8080/af/flowmate/hooks/orders"
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "https://hooks.example.com/")
    assert hook_url("orders~paid") == "https://hooks.example.com/flowmate/hooks/orders~paid"
    assert hook_url("orders", "a_b-1") == "https://hooks.example.com/flowmate/hooks/orders/a_b-1"
    assert hook_url("orders", base="http://localhost:8080") == "http://localhost:8080/flowmate/hooks/orders"


def test_no_part_of_an_address_makes_another_one_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "https://hooks.example.com")
    assert hook_url("a/../b", "c?d#e") == "https://hooks.example.com/flowmate/hooks/a%2F..%2Fb/c%3Fd%23e"


def test_without_a_public_url_nobody_is_told_a_wrong_one() -> None:
    with pytest.raises(SettingError, match=r"set \[flowmate\] public_url"):
        public_url()


@pytest.mark.parametrize(
    "text",
    [
        *("hooks.example.com", "ftp://hooks.example.com", "https://", "https://a b", "https://a\nb", "https://h:99999"),
        *("https://user:secret@hooks.example.com", "https://hooks.example.com?x=1", "https://hooks.example.com#x"),
    ],
)
def test_what_is_no_address_is_not_made_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="write it as"):
        checked_base(text)
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", text)
    with pytest.raises(SettingError, match=r"^\[flowmate\] public_url (is|may)") as raised:
        public_url()
    assert "secret" not in str(raised.value)
