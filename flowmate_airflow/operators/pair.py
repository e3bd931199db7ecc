"""The operator of a streamed pair: two connector steps in one task."""

from __future__ import annotations

import threading
from typing import Any

from flowmate_airflow.batches.batch import BatchValue, BatchWriter
from flowmate_airflow.operators.connector import ConnectorOperator
from flowmate_airflow.operators.replay import ReplayMemory, replay_of
from flowmate_airflow.operators.step import step_input
from flowmate_airflow.steps.inputs import NOTHING, Input
from flowmate_airflow.steps.pairs import Pair


class PairOperator(ConnectorOperator):
    """Run two connector steps at once, the messages of the first going straight into the second.

    Takes the parameters of :class:`ConnectorOperator` for the second step.

    :param first: the first step, an operator of no DAG
    """

    def __init__(self, *, first: ConnectorOperator, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = first

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render the fields of both steps."""
        environment = jinja_env or self.get_template_env()
        self.first.render_template_fields(context, environment)
        super().render_template_fields(context, environment)

    def on_kill(self) -> None:
        """End both containers, at once: Airflow kills the task itself soon after."""
        other = threading.Thread(target=self.first.on_kill, name="flowmate-kill", daemon=True)
        other.start()
        super().on_kill()
        other.join()

    def _nothing(self, context: Any) -> BatchValue | None:
        return None if self._replays_first(context) else super()._nothing(context)

    def _input(self, context: Any) -> Input:
        replay = replay_of(context)
        if replay is not None and (replay.is_at(context) or self._replays_first(context)):
            return replay.letters(context)
        return step_input(context, self.first.inputs, self.first.when) if self.first.inputs else NOTHING

    def _run(self, context: Any, source: Input, writer: BatchWriter) -> BatchValue:
        replay = replay_of(context)
        if replay is not None and replay.is_at(context):
            return super()._run(context, source, writer)  # the letters are the second step's; the first has no part
        if not self._replays_first(context):
            return self._run_pair(context, source, writer)
        memory = self._replay_memory(context, self.first.task_id, settles=self.first.settles_letters)
        with memory.settling():
            return self._run_pair(context, source, writer, memory)

    def _run_pair(
        self, context: Any, source: Input, writer: BatchWriter, memory: ReplayMemory | None = None
    ) -> BatchValue:
        first = self.first.session(context, step=self.first.task_id, memory=memory)
        second = self.session(context)
        pair = Pair(first, second, when=self.when, keep_input=self.on_error == "dead_letter")
        return pair.run(writer, source)

    def _replays_first(self, context: Any) -> bool:
        replay = replay_of(context)
        return replay is not None and replay.step == self.first.task_id
