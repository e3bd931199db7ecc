"""Secrets that no Connection has: the other system chose them, or we did, when the address was registered."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.models import crypto
from airflow.models.crypto import _RealFernet
from cryptography.fernet import Fernet, MultiFernet
from receiver_harness import SECRET, Served, github, serving

from flowmate_airflow.store.subscriptions import ACTIVE, ENDED, MADE, Registration, Subscription, save
from flowmate_airflow.webhooks.endpoints import Endpoint


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    made = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: made)


def keep(served: Served, endpoint: str, secret: str, status: str = ACTIVE) -> None:
    made = Registration("id", "aa", "shop/created", endpoint, "https://x.example", secret=secret, state=MADE)
    save(served.store, Subscription(endpoint, "created", status=status, current=made))  # type: ignore[arg-type]
    served.receiver._known._began = float("-inf")  # as if a second had gone by since it was read


def test_events_signed_with_a_registered_secret_get_in(tmp_path: Path) -> None:
    with serving(tmp_path, Endpoint("orders", scheme="github"), Endpoint("bills", scheme="github")) as served:
        assert served.signed(b"{}", secret="given").status == 401  # fails closed: there is no secret at all
        keep(served, "orders", "given")
        assert served.signed(b"{}", secret="given").status == 202
        assert served.signed(b"{}", secret="forged").status == 401
        assert served.signed(b"{}", name="bills", secret="given").status == 401
        keep(served, "orders", "given", ENDED)
        assert served.signed(b"{}", secret="forged").status == 401
        assert served.signed(b"{}", secret="given").status == 401


def test_the_secret_of_the_connection_counts_beside_it(tmp_path: Path) -> None:
    with serving(tmp_path, github()) as served:
        keep(served, "orders", "given")
        assert [served.signed(b"{}", secret=secret).status for secret in (SECRET, "given", "no")] == [202, 202, 401]
