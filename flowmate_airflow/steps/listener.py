"""Who is told what while a component runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.runtimes.base import Running
from flowmate_airflow.steps.steplog import Mask, Progress


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told what, while a component runs.

    :param start: the running component, so that a kill from outside can stop it
    :param progress: the counts, now and then; None: they go to the log
    :param credentials: what the component changed in its configuration, at once
    :param result: a message's id and the id that the other system gave for it
    :param reply: what the component answers to the caller of the flow's webhook; returns whether one waits for it
    :param renew: asked for new credentials; gets whether the component's were refused
    :param mask: hides secrets in what the component says
    :param is_over: asked of a component that failed, whether its access token was over by then
    """

    start: Callable[[Running], None] = lambda running: None
    progress: Callable[[Progress], None] | None = None
    credentials: Callable[[Mapping[str, Any]], None] = lambda changed: None
    result: Callable[[str, str], None] = lambda message_id, remote_id: None
    reply: Callable[[Mapping[str, Any]], bool] = lambda reply: False
    renew: Callable[[bool], Mapping[str, Any]] = lambda rejected: {}
    mask: Mask = lambda text: text
    is_over: Callable[[], bool] = lambda: False
