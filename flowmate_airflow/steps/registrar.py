"""Asking a connector to register a flow's address with the other system, and to take it back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flowmate_airflow.auth.credentials import Account, secrets_of, texts_in
from flowmate_airflow.auth.masking import Masker
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.base import Request, Verb
from flowmate_airflow.protocols.events import SubscriptionEvent
from flowmate_airflow.runtimes.base import Running
from flowmate_airflow.steps.asking import Answer, ask, failure_of
from flowmate_airflow.steps.bounds import may_change
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.memory import StoreMemory
from flowmate_airflow.steps.session import Place
from flowmate_airflow.steps.steplog import Log
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.subscriptions import ASKED, MADE, REFUSED, Registration

SECONDS = 120.0
"""How long a connector may take: the other system may call the address before it answers."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where connectors are found and run.

    :param manifest: returns a connector's manifest by its name, None when there is none
    :param account: returns the Connection of a conn_id, for a step's `use`
    :param place: returns where a connector's component runs
    :param hide: is told texts that must not turn up in a log
    :param on_start: is told each component that was started
    """

    manifest: Callable[[str], Manifest | None]
    account: Callable[[str, str, str], Account]
    place: Callable[[Manifest, StepRun], Place]
    log: Log
    hide: Callable[[Iterable[str]], None] = lambda secrets: None
    on_start: Callable[[Running], None] = lambda running: None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the request to register an address.

    :param made: what the connector answered; None: it has not
    :param failure: why it failed, also after it had answered; no secret is in its text
    :param state: what is known of the registration now
    """

    made: SubscriptionEvent | None
    failure: StepError | None
    state: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a connector answered, and the texts that must not be shown of it."""

    manifest: Manifest
    answer: Answer
    hidden: set[str] = field(repr=False)

    def failure(self, what: str, missing: str) -> StepError | None:
        """Return why it failed, None when it did not."""
        if not self.answer.code and self.answer.error is None:
            return None
        return _without(failure_of(self.manifest, self.answer, what, missing), self.hidden)


class Registrar:
    """Asks connectors."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings

    def subscribe(self, run: StepRun, wanted: Registration, secret: str | None, *, renews: bool = False) -> Outcome:
        """Let the connector register an address.

        :param secret: that the events are to be signed with
        :param renews: whether it has subscribed before, and is told what it answered then
        """
        started: list[Running] = []
        try:
            asked = self._ask("subscribe", run, wanted, secret, wanted.subscription if renews else None, started)
        except StepError as error:
            return Outcome(None, error, ASKED if started else REFUSED)
        made = asked.answer.subscription
        if made is not None and made.secret is not None:
            asked.hidden.update(texts_in({"secret": made.secret}))
            self._around.hide(asked.hidden)
        failure = asked.failure("could not subscribe", "no subscription")
        if made is not None:
            return Outcome(made, failure, MADE)
        if failure is None:
            text = f"{asked.manifest.name} ended as if it had subscribed, but answered no subscription"
            return Outcome(None, ConfigFailure(text), ASKED)
        # What it calls wrong configuration it has not sent, or the other system has refused it.
        return Outcome(None, failure, REFUSED if isinstance(failure, ConfigFailure) else ASKED)

    def unsubscribe(self, run: StepRun, made: Registration) -> None:
        """Let the connector take back what it has registered.

        :raises StepError: it did not; no secret is in the text
        """
        asked = self._ask("unsubscribe", run, made, made.secret, made.subscription, [])
        failure = asked.failure("could not unsubscribe", "no reason")
        if failure is not None:
            raise failure

    def renews(self, registration: Registration) -> bool:
        """Whether the connector knows that it may be asked for what it has done already, and can find it by its id.

        A Node component does not: each of its startups makes one more.
        """
        manifest = self._around.manifest(registration.connector)
        return manifest is not None and manifest.node is None

    def _ask(
        self,
        verb: Verb,
        run: StepRun,
        registration: Registration,
        secret: str | None,
        known: Any,
        started: list[Running],
    ) -> _Asked:
        around = self._around
        manifest = around.manifest(registration.connector)
        if manifest is None:
            raise ConfigFailure(f"there is no connector `{registration.connector}` any more")
        call = self._call(manifest, run, registration)
        hidden = _hidden(registration, secret, call)
        around.hide(_hidden(registration, secret, call, rare=False))
        place = around.place(manifest, run)

        def note(running: Running) -> None:
            started.append(running)
            around.on_start(running)

        try:
            answer = ask(
                place.runtime,
                manifest,
                _with_webhook(call.request(verb=verb), registration, secret, known),
                runtime_name=place.name,
                log=around.log,
                labels=place.labels,
                seconds=SECONDS,
                on_start=note,
                mask=Masker(hidden),
            )
        except StepError as error:
            raise _without(error, hidden) from None
        if answer.changed:
            hidden.update(texts_in(answer.changed))
            self._keep(call, answer.changed)
        return _Asked(manifest, answer, hidden)

    def _call(self, manifest: Manifest, run: StepRun, registration: Registration) -> StepCall:
        account = None
        if registration.connection is not None:
            account = self._around.account(registration.connection, run.step, registration.use)
        changed: Mapping[str, Any] = {}
        if account is not None and manifest.is_foreign:
            changed = _remembered(lambda: StoreMemory(run, -1).changed_credentials(account, manifest.name))
        return StepCall(manifest, registration.use, run, registration.config, account=account, changed=changed)

    def _keep(self, call: StepCall, changed: Mapping[str, Any]) -> None:
        """Keep credentials that the connector changed: the old ones may not work any more."""
        self._around.hide(texts_in(changed, rare=False))
        account = call.account
        if account is not None and may_change({**call.changed, **changed}, 1):
            memory = StoreMemory(call.run, -1)
            _remembered(lambda: memory.keep_credentials(account, call.manifest.name, changed))


def _hidden(registration: Registration, secret: str | None, call: StepCall, *, rare: bool = True) -> set[str]:
    """Return the texts that must not be shown: credentials, the secret, and the token of an address.

    :param rare: also the forms in which they are seldom written
    """
    texts = [text for text in (secret, registration.secret, registration.token) if text]
    return {
        *texts_in({"texts": texts}, rare=rare),
        *secrets_of(call.account, rare=rare),
        *texts_in(call.changed, rare=rare),
    }


def _without(error: StepError, hidden: set[str]) -> StepError:
    """Return a failure without secrets: it is kept, and shown."""
    text = str(error)
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return type(error)(text, error.exit_code)


def _with_webhook(request: Request, registration: Registration, secret: str | None, known: Any) -> Request:
    webhook = {
        "url": registration.url,
        "endpoint": registration.endpoint,
        "id": registration.id,
        "secret": secret,
        "events": registration.events,
        "subscription": known,
    }
    return replace(request, context={**request.context, "webhook": webhook})


def _remembered(do: Callable[[], Any]) -> Any:
    try:
        return do()
    except StoreError as error:
        raise (TransientFailure if error.transient else ConfigFailure)(str(error)) from None
