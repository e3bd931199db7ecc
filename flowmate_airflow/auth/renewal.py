"""One renewal of one Connection: taking the turn, asking the provider, saving what it answers, letting go.

What can go wrong between the provider's answer and saving it is what this is built around. Before the request the store
knows what is being spent; after it, saving is tried again for as long as it takes; and whoever takes over from a
process that died spends the same refresh token once more, which many providers allow for a short while.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field

from flowmate_airflow.auth import oauth2, origins, sessions
from flowmate_airflow.auth.ages import is_due
from flowmate_airflow.auth.connections import Stored, change, read
from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.http import SECONDS
from flowmate_airflow.auth.methods import method_of
from flowmate_airflow.auth.owners import is_gone, new_owner
from flowmate_airflow.auth.refusals import is_refused
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.auth.values import client_of, values_of
from flowmate_airflow.auth.views import Kind, Problem
from flowmate_airflow.catalog.auth import RENEWED, SessionAuth
from flowmate_airflow.catalog.oauth import OAuth2
from flowmate_airflow.store import renewals
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import Store, open_store

log = logging.getLogger(__name__)

LEASE_SECONDS = 45.0
"""For how long a process has the turn, which is longer than a request to a provider can take."""
POLL_SECONDS = 0.2
"""How often one looks whether another process is done."""
PATIENCE_SECONDS = 2 * LEASE_SECONDS
"""How long that is done."""
SAVE_SECONDS = 120.0
"""For how long saving is tried again: what a provider has given must not be lost."""
LOST = "the API server died between the provider's answer and saving it; link it again"
LOST_ANSWER = "the provider's answer to an earlier try did not arrive; link it again"


@dataclass(frozen=True, slots=True)
class Fresh:
    """A Connection with the credentials that it has now.

    :param problem: why they are none to hand out; None: they are fresh
    """

    stored: Stored = field(repr=False)
    problem: Problem | None = None


class _Again(Exception):
    """What is stored has changed meanwhile."""


def renew_stored(conn_id: str, refused: str | None = None) -> Fresh | None:
    """Renew a Connection of Airflow's database, or wait until another process has done it.

    :param refused: digest of a token that is renewed before its time, because the other system has refused it
    :return: it, as it is then; None when there is none any more
    :raises StoreError: the store or Airflow's database cannot be used
    """
    store = open_store()
    end = time.monotonic() + PATIENCE_SECONDS
    stored = read(conn_id)
    while stored is not None and (is_due(conn_id, stored.grant) or is_refused(stored.grant, refused)):
        try:
            found = _try(store, stored)
        except LoginError as error:  # nothing was spent, and there is nothing to wait for
            return Fresh(stored, Problem("failed", error.text))
        except _Again:
            found = None
        if found is not None:
            return found
        if time.monotonic() > end:
            return Fresh(stored, Problem("pending", f"the Connection `{conn_id}` is still being renewed"))
        stored = read(conn_id)
    return None if stored is None else Fresh(stored)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A turn that was taken.

    :param spending: digest of what will be spent
    :param ends: by the clock of this process, when somebody else may take it over
    """

    store: Store
    owner: str
    stored: Stored = field(repr=False)
    method: OAuth2 | SessionAuth
    application: Account | None = field(repr=False)
    spending: bytes = field(repr=False)
    turn: renewals.Turn = field(repr=False)
    ends: float


def _try(store: Store, stored: Stored) -> Fresh | None:
    """Renew a Connection; None: another process does, look again.

    :raises LoginError: there is no such method, or no application
    """
    method = method_of(stored)
    if not isinstance(method, RENEWED):
        return Fresh(stored)
    application = None
    if isinstance(method, OAuth2):
        application = origins.application(str(stored.mark.get("connector")))
        client_of(method, stored.account(), application)  # raises where there is none
    spending = _digest(stored, application)
    row, moment = renewals.status_now(store, stored.conn_id)
    if row is not None and row.rests(spending, moment):
        return _resting(stored, row)
    owner, ends = new_owner(), time.monotonic() + LEASE_SECONDS
    turn = renewals.take(store, stored.conn_id, owner, spending, LEASE_SECONDS, is_gone)
    if turn.kind == "resting":
        return _resting(stored, turn.row)
    if turn.kind == "busy":
        time.sleep(POLL_SECONDS)
        return None
    return _renewed(_Attempt(store, owner, stored, method, application, spending, turn, ends))


def _resting(stored: Stored, row: renewals.Renewal) -> Fresh:
    """Return how an earlier try with the same credentials ended."""
    kinds: dict[str, Kind] = {renewals.NEEDS_REAUTH: "needs_reauth", renewals.FAILED: "failed"}
    return Fresh(stored, Problem(kinds.get(row.status, "cooling"), row.error or "nobody knows why"))


def _renewed(attempt: _Attempt) -> Fresh:
    """Ask the provider and save what it answers.

    :raises _Again: what is stored has changed, so that it must be looked at again
    """
    store, conn_id, owner = attempt.store, attempt.stored.conn_id, attempt.owner
    # Somebody may have renewed it, and let go, between our reading it and taking the turn. Or the databases kept us
    # waiting, so that another one would take over, and spend the same, before the provider has to have answered.
    if not _is_unchanged(attempt) or time.monotonic() + SECONDS > attempt.ends:
        renewals.let_go(store, conn_id, owner)
        raise _Again
    try:
        login = _asked(attempt)
    except LoginError as error:
        return _failed(attempt, error)
    except Exception:
        # Of a kind that nobody has thought of. It may hold what was sent, and must not be tried without end.
        log.error("The Connection %s could not be renewed for an unexpected reason", conn_id)
        return _failed(attempt, LoginError("its credentials could not be renewed for an unexpected reason"))
    saved = _saved(attempt, login)
    if saved is None:
        log.warning("The Connection %s was changed or removed while it was renewed; the tokens are dropped", conn_id)
        raise _Again
    log.info("Renewed the credentials of the Connection %s", conn_id)
    return Fresh(saved)


def _is_unchanged(attempt: _Attempt) -> bool:
    """Whether what is stored is what will be spent, or was.

    :raises StoreError: it cannot be read
    """
    try:
        present = read(attempt.stored.conn_id)
    except StoreError:
        with suppress(StoreError):
            renewals.let_go(attempt.store, attempt.stored.conn_id, attempt.owner)
        raise
    return present is not None and _digest(present, attempt.application) == attempt.spending


def _asked(attempt: _Attempt) -> Login:
    """Return what the other system answers.

    :raises LoginError: it brings nothing
    """
    method, account, grant = attempt.method, attempt.stored.account(), attempt.stored.grant
    if isinstance(method, SessionAuth):
        return sessions.log_in(method, values_of(method, account, None))
    client = client_of(method, account, attempt.application)
    values = values_of(method, account, client)
    if grant is not None:
        return oauth2.renew(method, values, client, grant)
    if method.grant == "authorization_code":
        raise LoginError("nobody has consented yet", "needs_reauth")
    return oauth2.first_grant(method, values, client)


def _failed(attempt: _Attempt, error: LoginError) -> Fresh:
    """Note a failure.

    :raises _Again: somebody has linked anew meanwhile, so that it says nothing
    """
    store, stored, row = attempt.store, attempt.stored, attempt.turn.row
    conn_id = stored.conn_id
    if error.kind != "needs_reauth":
        is_config = error.kind != "transient"
        failures = row.failures if row.spending == attempt.spending else 0
        renewals.fail(
            store, conn_id, attempt.owner, error.text, failures, retry_after=error.retry_after, is_config=is_config
        )
        log.warning("The Connection %s could not be renewed: %s", conn_id, error.text)
        return Fresh(stored, Problem("failed" if is_config else "cooling", error.text))
    if not _is_unchanged(attempt):
        renewals.let_go(store, conn_id, attempt.owner)
        raise _Again
    text = _why(attempt, error)
    renewals.need_login(store, conn_id, attempt.owner, text)
    log.warning("The Connection %s needs a new login: %s", conn_id, text)
    _tell(stored, text)
    return Fresh(stored, Problem("needs_reauth", text))


def _why(attempt: _Attempt, error: LoginError) -> str:
    """Return why a new login is needed, with what may have become of the refresh token."""
    grant, row = attempt.stored.grant, attempt.turn.row
    if grant is None or grant.refresh_token is None:
        return error.text
    if attempt.turn.is_takeover:
        return f"{error.text}; {LOST}"
    if row.spending == attempt.spending and row.failures:
        return f"{error.text}; {LOST_ANSWER}"
    return error.text


def _tell(stored: Stored, text: str) -> None:
    """Say in Airflow's list of Connections that one needs a new login."""
    try:
        change(stored.conn_id, lambda old: old.told(text) if old.grant == stored.grant else None)
    except StoreError as error:  # tasks are told all the same
        log.warning("Airflow's list of Connections does not say that %s needs a login: %s", stored.conn_id, error)


def _saved(attempt: _Attempt, login: Login) -> Stored | None:
    """Save a login, for as long as it takes, and let go; None: what is stored is another one now, or gone.

    :raises StoreError: it could not be saved
    """
    store, conn_id, before = attempt.store, attempt.stored.conn_id, attempt.stored.grant
    end = time.monotonic() + SAVE_SECONDS
    if time.monotonic() + SECONDS > attempt.ends:
        _hold(attempt)  # the provider took its time, and so may the database
    while True:
        try:
            # Only on top of the grant that was spent: somebody may have edited the rest, or have linked anew.
            saved = change(conn_id, lambda old: old.with_login(login).told(None) if old.grant == before else None)
            break
        except StoreError as error:
            if time.monotonic() > end:
                log.error(
                    "The new credentials of the Connection %s could not be saved and are lost: %s", conn_id, error
                )
                raise
            log.warning("The new credentials of the Connection %s are not saved yet: %s", conn_id, error)
        _hold(attempt)
        time.sleep(1)
    try:
        (renewals.let_go if saved is None else renewals.succeed)(store, conn_id, attempt.owner)
    except StoreError as error:  # the turn ends by itself
        log.warning("That the Connection %s is renewed could not be noted: %s", conn_id, error)
    return saved


def _hold(attempt: _Attempt) -> None:
    """Keep the turn, if the store can be reached."""
    try:
        renewals.hold(attempt.store, attempt.stored.conn_id, attempt.owner, LEASE_SECONDS)
    except StoreError as error:
        log.debug("The turn to renew %s could not be kept: %s", attempt.stored.conn_id, error)


def _digest(stored: Stored, application: Account | None) -> bytes:
    """Return a digest of all that a renewal spends, or fails with: when it is another one, another try may succeed."""
    own = [stored.login, stored.password, stored.host, stored.port, stored.schema, dict(stored.extra)]
    others = None
    if application is not None:
        others = [application.login, application.password, dict(application.extra)]
    text = json.dumps([stored.conn_id, own, others], sort_keys=True, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
