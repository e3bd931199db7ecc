"""The signature schemes of incoming webhooks: what the receiver, the flow language and the commands use of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowmate_airflow.flows.errors import shown
from flowmate_airflow.webhooks.handshakes import handshake
from flowmate_airflow.webhooks.options import SchemeOptions, option_names, refined
from flowmate_airflow.webhooks.proofs import dummy_work
from flowmate_airflow.webhooks.scheme import Scheme, sign, verify
from flowmate_airflow.webhooks.table import SCHEMES

__all__ = [
    "SCHEMES",
    "Scheme",
    "SchemeOptions",
    "dummy_work",
    "handshake",
    "option_names",
    "scheme_named",
    "sign",
    "verify",
]


def scheme_named(name: str, options: Mapping[str, Any]) -> Scheme:
    """Return a scheme with a flow's options.

    :raises ValueError: there is no such scheme, or an option is unknown or wrong
    """
    scheme = SCHEMES.get(name)
    if scheme is None:
        raise ValueError(f"{shown(name)} is no scheme of webhooks; there are {', '.join(SCHEMES)}")
    return refined(scheme, options) if options else scheme
