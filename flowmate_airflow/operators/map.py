"""The operator of a `map` step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow.sdk import BaseOperator

from flowmate_airflow.batches.batch import BatchValue
from flowmate_airflow.operators.replay import tenant_of
from flowmate_airflow.operators.step import airflow_failures, batch_writer, empty_in_replay, step_input
from flowmate_airflow.steps.links import TenantFacts
from flowmate_airflow.steps.mapping import map_lines


class MapOperator(BaseOperator):
    """Make new messages out of each message, by a JSONata expression.

    In the run of a tenant the expression knows `$tenant.id`, `$tenant.config` and `$tenant.mapping`.

    :param expression: JSONata over the whole message; its result is the data of the new message, a list makes a
        message of each element, no result makes none
    :param inputs: the task ids whose messages it gets, in this order
    :param when: JSONata; messages for which it is not true are left out
    :param source: the step's YAML, to be shown
    """

    template_fields: Sequence[str] = ("expression", "source")
    template_fields_renderers: ClassVar[dict[str, str]] = {"expression": "jsonata", "source": "yaml"}
    ui_color = "#e6f0ff"

    def __init__(
        self, *, expression: str, inputs: Sequence[str], when: str | None = None, source: str = "", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.expression = expression
        self.inputs = list(inputs)
        self.when = when
        self.source = source

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Leave the fields as they are: they are shown, not rendered; JSONata is no Jinja."""

    def execute(self, context: Any) -> BatchValue:
        """Map the batch and return the new one's value."""
        writer = batch_writer(context)
        with airflow_failures(writer):
            empty = empty_in_replay(context, self.inputs)
            if empty is not None:
                return empty
            source = step_input(context, self.inputs, self.when)
            for message in map_lines(self.expression, source.read(), self._names(context)):
                writer.write(message)
            value = writer.finish()
        self.log.info("%s messages made", f"{value['count']:,}")
        return value

    def _names(self, context: Any) -> dict[str, Any] | None:
        """Return what the expression knows of the run's tenant, where it asks: that is in the store."""
        tenant = tenant_of(context)
        if not tenant or "$tenant" not in self.expression:
            return None
        return {"tenant": dict(TenantFacts(tenant, context["ti"].dag_id))}
