"""What decides about subscriptions: which should be, when what failed is tried again, which two are one."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from flowmate_airflow.steps.errors import ConfigFailure, StepError
from flowmate_airflow.store.subscriptions import MADE, REFUSED, Registration

FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(minutes=30)
"""What failed is tried again after one minute, then two and so on up to this; what needs a change, after this."""
MAX_ENDING = 350
"""How often taking back is tried: about a week."""
FRESH_FROM = 3
"""After so many renewals that failed, the connector is asked as if it had never subscribed: it may be gone."""
MAX_EARLIER = 20
"""How many earlier subscriptions of one step are remembered."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subscription that should be: of a flow that is switched on.

    :param use: connector and function of the trigger
    :param version: of the connector
    :param url: the address, which may hold a token
    :param connection: the conn_id of the connector's Connection
    :param config: the step's rendered `with`
    :param events: how what comes is verified: `scheme` and `options`
    :param secret: that the Connection of the flow's webhook has
    :param new_secret: makes one, where there is no such Connection
    :param own_secret: returns that of the tenant's link, which counts more than both
    :param account: what stands for the account; when it is another one, the address is registered anew
    :param problem: why it cannot be registered; then nobody is asked
    """

    flow: str
    step: str
    endpoint: str
    use: str
    version: str = ""
    url: str = field(default="", repr=False)
    connection: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    events: Mapping[str, Any] = field(default_factory=dict)
    secret: str | None = field(default=None, repr=False)
    new_secret: Callable[[], str | None] = lambda: None
    own_secret: Callable[[], str | None] = lambda: None
    account: str | None = None
    tenant: str = ""
    problem: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Flow, step and tenant."""
        return (self.flow, self.step, self.tenant)

    @property
    def digest(self) -> str:
        """What stands for all that is asked: when it is another one, the address is registered anew."""
        secret = hashlib.sha256(self.secret.encode()).hexdigest() if self.secret else None
        parts = [self.url, self.use, self.version, self.connection, self.config, self.events, secret]
        parts += [] if self.account is None else [self.account]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def registration(self) -> Registration:
        """Return what is asked, with a new secret where the other system may need one.

        :raises StepError: the tenant's link cannot be read
        """
        digest, own = self.digest, self.own_secret()
        found = hashlib.sha256(json.dumps([*self.key, digest]).encode()).hexdigest()
        return Registration(
            id=f"flowmate-{found[:24]}",
            digest=digest,
            use=self.use,
            endpoint=self.endpoint,
            url=self.url,
            connection=self.connection,
            config=self.config,
            events=self.events,
            secret=own or (None if self.secret else self.new_secret()),
        )

    def told(self, registration: Registration) -> str | None:
        """Return the secret that a connector is told, with which events are to be signed."""
        # A tenant's comes from their link, or from the other system, which may have chosen one.
        first, second = (registration.secret, self.secret) if self.tenant else (self.secret, registration.secret)
        return first or second


def new_secret(*, has_user: bool = False) -> str:
    """Return a secret that events may be signed with, written as Standard Webhooks writes them.

    :param has_user: whether it is a user with a password
    """
    text = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    return f"flowmate:{text}" if has_user else text


def wait_after(attempts: int, error: StepError | None) -> timedelta:
    """Return how long to wait when something has failed.

    :param attempts: how often it had failed before
    """
    if isinstance(error, ConfigFailure):
        return LONGEST_WAIT
    return min(FIRST_WAIT * int(2 ** min(attempts, 10)), LONGEST_WAIT)


def renewal_of(expires_at: datetime | None, moment: datetime) -> datetime | None:
    """Return when what ends then is renewed: when two thirds of its life are over."""
    return None if expires_at is None else moment + max(expires_at - moment, timedelta()) * 2 / 3


def is_same(earlier: Registration, current: Registration) -> bool:
    """Whether the other system has one for both: the connector has changed it, or found it again.

    A component may answer nothing and know its subscription by the address; taking the earlier one back would take
    the current one back then.
    """
    if earlier.state != MADE or earlier.subscription != current.subscription:
        return False
    account = (earlier.connector, earlier.connection) == (current.connector, current.connection)
    return account and (current.subscription is not None or earlier.url == current.url)


def gone(registration: Registration | None) -> Registration | None:
    """Return a registration that is not there any more, without what must not be kept longer than needed."""
    if registration is None:
        return None
    return replace(registration, state=REFUSED, subscription=None, secret=None, config={}, renew_at=None)
