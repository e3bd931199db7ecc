"""Checks of what others send: the flow key `webhook` and the step `wait`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Events, Manifest, size_in_bytes
from flowmate_airflow.flows.errors import Problem, did_you_mean
from flowmate_airflow.flows.models import Flow, UseStep, WaitStep
from flowmate_airflow.flows.positions import Path, SourceMap
from flowmate_airflow.flows.tenantchecks import is_linked
from flowmate_airflow.flows.webhookmodels import WEBHOOK, EndpointOptions
from flowmate_airflow.webhooks.endpoints import MAX_NAME, WAITS

DEFAULT_SCHEME = "standard"
MAX_BODY = "64m"
LONGEST_REPLY = timedelta(minutes=5)


def taken_events(flow: Flow, catalog: Catalog) -> tuple[UseStep, Events] | None:
    """Return the step with a trigger that takes the events of the flow's webhook, and how; None if there is none."""
    for index, step in enumerate(flow.steps):
        if flow.webhook is None or not isinstance(step, UseStep) or flow.needs(index) != [WEBHOOK]:
            continue
        manifest = catalog.get(step.connector)
        trigger = manifest.triggers.get(step.function) if isinstance(manifest, Manifest) else None
        if trigger is not None and trigger.webhook is not None:
            return step, trigger.webhook
    return None


def check_webhook(flow: Flow, source: SourceMap, catalog: Catalog) -> Iterator[Problem]:
    """Yield what is wrong with the webhook that starts a flow."""
    webhook = flow.webhook
    if webhook is None:
        return
    if flow.schedule not in (None, "none"):
        yield source.problem(
            "a flow is started by its `schedule` or by its `webhook`",
            ("schedule",),
            "remove one of them; a second flow can do the other",
            at="key",
        )
    if not any(WEBHOOK in flow.needs(index) for index in range(len(flow.steps))):
        yield source.problem(
            "no step gets the events of the `webhook`",
            ("webhook",),
            "let the first step follow it: remove its `needs`, or write `needs: [webhook]`",
            at="key",
        )
    taken = taken_events(flow, catalog)
    own = taken is not None and is_linked(flow, taken[0], catalog.get(taken[0].connector))
    yield from _check_endpoint(webhook, ("webhook",), source, taken[1] if taken else None, has_own=own)
    if webhook.debounce is not None and not timedelta(0) < webhook.debounce <= timedelta(hours=1):
        yield source.problem("`debounce` must be between 1s and 1h", ("webhook", "debounce"))
    yield from _check_reply(flow, source)


def check_wait(step: WaitStep, path: Path, first: bool, flow: Flow, source: SourceMap) -> Iterator[Problem]:
    """Yield what is wrong with a step that waits."""
    if first:
        yield source.problem(
            "a `wait` step waits for an event for each of its messages, and a first step gets none",
            (*path, "wait"),
            "let it follow another step; to start a flow by events, write `webhook:` at the top",
            at="key",
        )
    if not timedelta(0) < step.wait.timeout <= timedelta(days=365):
        yield source.problem("`timeout` must be between 1s and 365d", (*path, "wait", "timeout"))
    name = f"{flow.id or ''}{WAITS}{step.id}"
    if len(name) > MAX_NAME:
        yield source.problem(
            f"the ids of the flow and of a step that waits may have {MAX_NAME - 1} characters together",
            (*path, "id"),
            "shorten one of them",
        )
    yield from _check_endpoint(step.wait.webhook, (*path, "wait", "webhook"), source, None)


def _check_endpoint(
    options: EndpointOptions, path: Path, source: SourceMap, events: Events | None, *, has_own: bool = False
) -> Iterator[Problem]:
    """Yield what is wrong with an address.

    :param has_own: whether tenants' links may hold secrets of their own
    """
    # Only flows with webhooks need the schemes, which take a while to import.
    from flowmate_airflow.webhooks.proofs import UrlToken
    from flowmate_airflow.webhooks.schemes import SCHEMES, scheme_named

    if size_in_bytes(options.max_body) > size_in_bytes(MAX_BODY):
        yield source.problem(f"`max_body` may be {MAX_BODY} at most", (*path, "max_body"))
    if not timedelta(0) <= options.keep <= timedelta(days=3650):
        yield source.problem("`keep` must be between 0s and 3650d", (*path, "keep"))
    name = options.scheme or (events.scheme if events else DEFAULT_SCHEME)
    if name not in SCHEMES:
        hint = did_you_mean(name, SCHEMES) or "docs/reference/webhook-schemes.md lists them"
        yield source.problem(f"there is no scheme `{name}`", (*path, "scheme") if options.scheme else path, hint)
        return
    given = events.options if events is not None and options.scheme is None else {}
    try:
        scheme = scheme_named(name, {**given, **options.options})
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        yield source.problem(message, (*path, "options"), hint or None, at="key")
        return
    is_given = options.connection is not None or has_own or (events is not None and events.subscribes)
    if not is_given and not isinstance(scheme.proof, UrlToken):
        yield source.problem(
            f"the scheme `{name}` needs a secret, without which nobody is let in",
            (*path, "scheme") if options.scheme else path,
            "add `connection:` with the conn_id of a Connection whose password is the secret",
            at="key",
        )


def _check_reply(flow: Flow, source: SourceMap) -> Iterator[Problem]:
    reply = flow.webhook.reply if flow.webhook is not None else None
    if reply is None:
        return
    path: Path = ("webhook", "reply")
    ids = [step.id for step in flow.steps]
    if reply.step is not None and reply.step not in ids:
        yield source.problem(f"there is no step `{reply.step}`", (*path, "step"), did_you_mean(reply.step, ids))
    if not timedelta(0) < reply.within <= LONGEST_REPLY:
        yield source.problem("`within` must be between 1s and 5m", (*path, "within"))
    if flow.webhook is not None and "batch" in flow.webhook.model_fields_set and flow.webhook.batch != 1:
        yield source.problem(
            "with `reply` a run takes one event, as each caller gets an answer of its own",
            ("webhook", "batch"),
            "remove `batch`",
            at="key",
        )
