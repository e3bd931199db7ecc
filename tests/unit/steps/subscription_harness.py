"""What a test of subscriptions needs: a clock, a provider, its connector as a process, and one flow or several."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from hooks_provider import CODE, MANIFEST, Provider

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import read_manifest
from flowmate_airflow.runtimes.base import Runtime
from flowmate_airflow.runtimes.process import ProcessRuntime
from flowmate_airflow.steps.calls import StepRun
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.registrar import Registrar, Surroundings
from flowmate_airflow.steps.session import Place
from flowmate_airflow.steps.subscribing import Report, synchronise
from flowmate_airflow.steps.subscriptionrules import Wanted
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.store.subscriptions import Subscription, find

SDK = Path(__file__).resolve().parents[3] / "connectors" / "sdk"
URL = "https://hooks.example.com/flowmate/hooks/orders"


@dataclass
class World:
    """One installation and its provider."""

    folder: Path
    provider: Provider
    moment: datetime = datetime(2026, 1, 31, 8, tzinfo=timezone.utc)
    accounts: dict[str, Account] = field(default_factory=lambda: {"shop": Account("shop", password="right-token")})
    manifests: dict[str, Manifest] = field(default_factory=dict)
    runtime: Runtime | None = None
    logged: list[str] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.provider.now = lambda: self.moment
        self.install()

    @property
    def store(self) -> Store:
        return open_store()

    def install(self, version: str = "1.0.0") -> None:
        """Put the connector there."""
        place = self.folder / "shop"
        place.mkdir(exist_ok=True)
        (place / "connector.yaml").write_text(MANIFEST.format(version=version))
        (place / "connector.py").write_text(CODE)
        self.manifests["shop"] = read_manifest(place / "connector.yaml")

    def wanted(self, flow: str = "orders", **other: Any) -> Wanted:
        """Return what a flow that is switched on wants."""
        config = {"server": self.provider.url, **other.pop("config", {})}
        given: dict[str, Any] = {
            "use": "shop/order_created",
            "url": URL.replace("orders", flow),
            "version": self.manifests["shop"].version if "shop" in self.manifests else "",
            "connection": "shop",
            "events": {"scheme": "github", "options": {}},
        }
        return Wanted(flow, "created", flow, config=config, **{**given, **other})

    def sync(self, *wanted: Wanted, **options: Any) -> Report:
        """Synchronise once."""
        return synchronise(
            self.store,
            Registrar(self._surroundings()),
            wanted,
            run_id="run",
            log=lambda level, text: self.logged.append(text),
            is_over=lambda row: row.flow not in self.broken,
            clock=lambda: self.moment,
            **options,
        )

    def later(self, **time: float) -> None:
        self.moment += timedelta(**time)

    def row(self, flow: str = "orders") -> Subscription:
        (found,) = find(self.store, flow)
        return found

    def deny(self) -> None:
        """Give the Connection a token that the provider does not know."""
        self.accounts["shop"] = replace(self.accounts["shop"], password="wrong-token")

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            manifest=self.manifests.get,
            account=self._account,
            place=self._place,
            log=lambda level, text: self.logged.append(text),
            hide=self._hide,
        )

    def _hide(self, secrets: Iterable[str]) -> None:
        self.hidden.update(secrets)

    def _account(self, conn_id: str, step: str, use: str) -> Account:
        if conn_id not in self.accounts:
            raise ConfigFailure(f"there is no Connection `{conn_id}`")
        return self.accounts[conn_id]

    def _place(self, manifest: Manifest, run: StepRun) -> Place:
        log = logging.getLogger("test")
        return Place(self.runtime or ProcessRuntime(log=log, sdk_path=SDK), "process", {"flowmate.flow": run.flow})
