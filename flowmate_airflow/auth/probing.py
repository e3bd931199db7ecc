"""Whether credentials work: by the request that the manifest names, else by the connector's own `check`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.credentials import Account, secrets_of, texts_in
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.masking import Masker
from flowmate_airflow.auth.values import Client, values_of
from flowmate_airflow.auth.verify import verify
from flowmate_airflow.auth.views import VIEW, view_of
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.protocols.streams import Stream
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure

if TYPE_CHECKING:
    from flowmate_airflow.steps.asking import Answer

log = logging.getLogger(__name__)

SECONDS = 90.0
"""How long a connector may take for its check: somebody waits for it."""
DISCOVER_SECONDS = 300.0
FLOW = "flowmate_links"
"""What stands for a flow where a connector is asked for a link."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found out about credentials.

    :param problem: why they do not work, in a sentence without secrets; None: they do, or nobody knows
    :param is_certain: whether it was found out: some connectors have no check, and some machines cannot run them
    :param may_pass: whether another try may say something else
    :param parts: what was told about the account, by the part of the Connection that keeps it
    :param changed: credentials that the connector changed while it checked them, by their names
    """

    problem: str | None = None
    is_certain: bool = True
    may_pass: bool = False
    parts: Mapping[str, str] = field(default_factory=dict, repr=False)
    changed: Mapping[str, Any] = field(default_factory=dict, repr=False)


UNKNOWN = Probe(is_certain=False)
BUSY_SECONDS = 10.0
"""In how many seconds to ask again who was told :data:`BUSY`."""
BUSY = Probe("too many connectors are asked just now whether credentials work; try again", False, may_pass=True)
MAX_AT_ONCE = 4
"""Connectors that one process starts at once to check credentials: each takes a thread of a server which has few."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is probed.

    :param stored: the Connection, whose credentials are fresh
    :param own: the method that the Connection is for; that of a symlink may be another connector's
    :param method: the connector's method
    :param tenant: whose it is
    :param changed: credentials that the connector changed earlier, by their names
    """

    manifest: Manifest
    method: AuthMethod
    own: AuthMethod
    stored: Stored = field(repr=False)
    client: Client | None = field(default=None, repr=False)
    tenant: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def account(self) -> Account:
        """The Connection as a task gets it."""
        if self.stored.mark.get(VIEW) is True:
            return self.stored.account()
        return view_of(self.stored, self.own, self.client).account()

    def mask(self, changed: Mapping[str, Any] | None = None) -> Masker:
        """Return what hides all that nobody may see.

        :param changed: credentials that the connector has changed just now
        """
        secret = None if self.client is None else self.client.client_secret
        texts = texts_in({"secret": secret, "earlier": dict(self.changed), "now": dict(changed or {})})
        return Masker([*secrets_of(self.stored.account()), *secrets_of(self.account), *texts])


def probe(subject: Subject, *, component: bool = True) -> Probe:
    """Find out whether credentials work.

    :param component: whether the connector may be started for it, where the manifest names no request
    """
    if subject.method.verify is not None:
        return _verified(subject)
    return _checked(subject) if component else UNKNOWN


def _verified(subject: Subject) -> Probe:
    values = values_of(subject.method, subject.stored.account(), subject.client)
    try:
        return Probe(parts=verify(subject.method, subject.account, values))
    except LoginError as error:
        return Probe(error.text, may_pass=error.kind == "transient")


def _checked(subject: Subject) -> Probe:
    if not _starting.acquire(blocking=False):
        return BUSY
    try:
        return _started(subject)
    finally:
        _starting.release()


_starting = threading.BoundedSemaphore(MAX_AT_ONCE)


def _started(subject: Subject) -> Probe:
    from flowmate_airflow.steps.asking import failure_of

    try:
        answer = _ask(subject, "check", SECONDS)
    except NoRuntime as error:
        log.info("%s is not checked: %s", subject.manifest.name, error)
        return UNKNOWN
    except StepError as error:
        return Probe(str(error), may_pass=isinstance(error, TransientFailure))
    changed = dict(answer.changed)
    mask = subject.mask(changed)
    if answer.check is not None and answer.check.ok:
        return Probe(is_certain=_NO_CHECK not in answer.last_line, changed=changed)
    said = answer.check.text if answer.check is not None else _refusal(answer)
    if said is not None:
        text = f"{subject.manifest.name} says that they do not work" + (f": {mask(said)}" if said else "")
        return Probe(text, changed=changed)
    failure = failure_of(subject.manifest, answer, "could not be checked", "no answer")
    return Probe(mask(str(failure)), may_pass=isinstance(failure, TransientFailure), changed=changed)


_NO_CHECK = "no check of its own"
"""What connectors of the SDK say that have none."""


def _refusal(answer: Answer) -> str | None:
    """Return what a connector says instead of an answer where the configuration is wrong, and so the credentials."""
    from flowmate_airflow.steps.steplog import clean_failure

    if answer.error is None or answer.error.failure_type != "config":
        return None
    return clean_failure(answer.error.text)


def streams_of(subject: Subject, on_changed: Callable[[Mapping[str, Any]], None]) -> Sequence[Stream]:
    """Return the streams that a source has for an account.

    :param on_changed: takes credentials that it changed, also when it fails then
    :raises NoRuntime: it cannot be run here
    :raises StepError: it gave none; no secret is in the text
    """
    from flowmate_airflow.steps.asking import failure_of

    answer = _ask(subject, "discover", DISCOVER_SECONDS)
    if answer.changed:
        on_changed(answer.changed)
    if answer.streams is None:
        failure = failure_of(subject.manifest, answer, "could not say which streams it has", "no catalog")
        raise type(failure)(subject.mask(answer.changed)(str(failure)))
    return answer.streams


class NoRuntime(Exception):
    """Connectors cannot be run on this machine: the text says why."""


def _ask(subject: Subject, verb: Any, seconds: float) -> Answer:
    """Return what a connector answers.

    :raises NoRuntime: it cannot be run here
    :raises StepError: it failed; no secret is in the text
    """
    # The command line's way to come by a runtime: it needs no task.
    from flowmate_airflow.cli.engines import Engines
    from flowmate_airflow.steps.asking import ask
    from flowmate_airflow.steps.calls import StepCall, StepRun
    from flowmate_airflow.steps.runtimes import runtime_name

    manifest, mask = subject.manifest, subject.mask()
    function = next(iter({**manifest.triggers, **manifest.actions}))
    run = StepRun(FLOW, "link", verb, tenant=subject.tenant)
    call = StepCall(
        manifest, f"{manifest.name}/{function}", run, {}, account=subject.account, changed=dict(subject.changed)
    )
    try:
        request = call.request(verb=verb)
        name = runtime_name()
        with Engines(name, log) as engines:
            try:
                runtime = engines.runtime(manifest)
            except ConfigFailure as error:
                raise NoRuntime(str(error)) from None
            labels = {"flowmate.flow": FLOW, "flowmate.step": str(verb)}
            return ask(
                runtime,
                manifest,
                request,
                runtime_name=name,
                log=lambda level, text: log.debug("%s: %s", manifest.name, text),
                labels=labels,
                seconds=seconds,
                mask=mask,
            )
    except StepError as error:
        raise type(error)(mask(str(error))) from None
