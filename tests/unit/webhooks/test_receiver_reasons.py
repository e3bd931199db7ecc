"""Why nobody is let in: the owner of an endpoint reads it among the refused requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from receiver_harness import github, serving

from flowmate_airflow.store.deliveries import REJECTED
from flowmate_airflow.webhooks.endpoints import Endpoint

BARE = Endpoint("orders", scheme="github")
STANDARD = Endpoint("orders", scheme="standard", connection="secret")


@pytest.mark.parametrize(
    ("endpoint", "passwords", "reason"),
    [
        (github(), {}, "nobody is let in: there is no Connection secret"),
        (BARE, {}, "nobody is let in: there is no secret yet, as its address is not registered"),
        (STANDARD, {"secret": ["hello!"]}, "nobody is let in: the Connection `secret` holds no secret of the scheme"),
        (github(), {"secret": ["another"]}, "no signature is right"),
    ],
)
def test_the_reason_says_what_to_mend(
    tmp_path: Path, endpoint: Endpoint, passwords: dict[str, Sequence[str]], reason: str
) -> None:
    with serving(tmp_path, endpoint) as served:
        served.directory.passwords = passwords
        answer = served.signed(b"{}")
        assert (answer.status, answer.body) == (401, b"")
    (noted,) = served.kept(status=REJECTED)  # what is beside the requests is done when the receiver has ended
    assert (noted.error or "").startswith(reason)
