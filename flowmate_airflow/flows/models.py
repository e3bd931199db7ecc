"""The models of a flow file, format 1: the one source of the checks, the JSON Schema and the reference page."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from flowmate_airflow.flows.fieldmaps import FieldMap
from flowmate_airflow.flows.tenantmodels import TenantOptions, Tenants
from flowmate_airflow.flows.values import CONNECTION_ID, FLOW_ID, Day, Duration, FlowModel, StepId, Title
from flowmate_airflow.flows.webhookmodels import WEBHOOK, WaitOptions, WebhookOptions

FORMAT = 1
MAX_STEPS = 500

USE = r"^[a-z][a-z0-9_-]*/[A-Za-z_][A-Za-z0-9_]*(@[0-9][A-Za-z0-9_.-]*)?$"


class StepOptions(FlowModel):
    """What `defaults` sets for every step and each step may set for itself."""

    retries: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="How often a failed step is tried again. Default: 2."
    )
    retry_delay: Duration | None = Field(
        default=None, description="The wait before the first retry; it doubles with each one. Default: 30s."
    )
    max_retry_delay: Duration | None = Field(default=None, description="The longest wait between tries. Default: 10m.")
    timeout: Duration | None = Field(
        default=None,
        description=("How long one try may take; then its container is ended and the try has failed. Default: 6h."),
    )
    pool: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="The Airflow pool whose slots the step takes."
    )
    pool_slots: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="How many slots. Default: 1."
    )
    priority: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] | None = Field(
        default=None,
        description="Among waiting tasks those with a higher number start first (Airflow's priority_weight).",
    )


class StepBase(StepOptions):
    """What every kind of step can say."""

    id: StepId = Field(description="The step's name, the task_id in Airflow. Letters, digits, `_` and `-`.")
    title: Title | None = Field(default=None, description="What Airflow's UI shows instead of the id.")
    description: str | None = Field(default=None, description="Markdown, shown with the task.")
    needs: list[StepId] | None = Field(
        default=None,
        description="The steps whose messages this one gets, in this order. Default: the step above; `[]` for none.",
    )
    when: str | None = Field(
        default=None,
        description="JSONata over a message; messages for which it is not true are left out here.",
        examples=["data.amount > 0"],
    )
    group: StepId | None = Field(
        default=None, description="Steps with the same group are drawn as one box (an Airflow task group)."
    )


class SyncOptions(FlowModel):
    """How a source reads its streams."""

    mode: Literal["incremental", "full"] = Field(
        default="incremental",
        description="`incremental` reads only what is new, where a stream can; `full` reads all of it every time.",
    )
    cursors: dict[str, str] = Field(
        default={},
        description="The field that tells what is new, by stream, where the source leaves the choice.",
        examples=[{"orders": "updated_at"}],
    )


class LoadOptions(FlowModel):
    """How a target stores records."""

    mode: Literal["append", "overwrite", "dedup"] | None = Field(
        default=None,
        description=(
            "`append` adds them, `overwrite` replaces what is there, `dedup` keeps one record for each primary key. "
            "Default: the target's own way."
        ),
    )
    table: Title | None = Field(
        default=None, description="The table they go to. Default: the stream they came from, else the step's id."
    )
    key: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[], description="The primary key, where the source declared none."
    )


class BatchOptions(FlowModel):
    """How a step's input is cut into pieces, each for a container of its own."""

    size: Annotated[int, Field(ge=1, le=10_000_000)] = Field(description="How many messages one container gets.")
    parallel: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="How many containers may run at once."
    )


class UseStep(StepBase):
    """A step that runs a function of a connector, in a container of its own."""

    use: Annotated[str, Field(pattern=USE)] = Field(
        description="Connector and function, and optionally the connector's version it was written for.",
        examples=["http/get", "files/write@1.0"],
    )
    connection: Annotated[str, Field(pattern=CONNECTION_ID)] | None = Field(
        default=None, description="The conn_id of the Airflow Connection with the credentials. Never a secret itself."
    )
    with_: dict[str, Any] = Field(
        default={},
        alias="with",
        description="The function's fields. Texts are Airflow Jinja, rendered when the step starts.",
    )
    select: FieldMap | None = Field(
        default=None,
        description=(
            "Which tables and fields a source reads: a list of fields, or `*` for all of them, by table. Tables that "
            "are not named are not read. Default: everything."
        ),
        examples=[{"orders": ["id", "total", "customer.email"], "customers": "*"}],
    )
    sync: SyncOptions = Field(default=SyncOptions(), description="How a source reads its streams.")
    load: LoadOptions = Field(default=LoadOptions(), description="How a target stores records.")
    on_error: Literal["fail", "skip", "dead_letter"] = Field(
        default="fail",
        description=(
            "When one message fails: `fail` the step, `skip` the message and go on, or go on and keep it as a "
            "`dead_letter` with its error, to be replayed."
        ),
    )
    batch: BatchOptions | None = Field(
        default=None, description="Cut the input into pieces for several containers. Default: one gets all of it."
    )
    stream: Literal[True] | None = Field(
        default=None,
        description=(
            "`true` runs this step and the one before as a pair in one task, messages going from container to "
            "container without being stored."
        ),
    )
    external_id: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description=(
            "JSONata over a message: its own id. The id that the other system gives for it is kept, and handed to the "
            "connector as `metadata.remote_id` when the same id comes again, so that a create becomes an update."
        ),
        examples=["data.order_number"],
    )

    @property
    def connector(self) -> str:
        """The connector's name."""
        return self.use.partition("/")[0]

    @property
    def function(self) -> str:
        """The function's name."""
        return self.use.partition("/")[2].partition("@")[0]

    @property
    def version(self) -> str | None:
        """The version the step asks for."""
        return self.use.partition("@")[2] or None


class MapStep(StepBase):
    """A step that makes new messages out of each message, by a JSONata expression."""

    map: Annotated[str, Field(min_length=1)] = Field(
        description=(
            "JSONata over the whole message (`data`, `metadata`, …). Its result is the data of the new message; "
            "a list makes a message of each element, no result makes none."
        ),
        examples=['{ "name": data.title, "cents": data.price * 100 }'],
    )


class WaitStep(StepBase):
    """A step that waits, without a worker, until another system has called back for each message."""

    wait: WaitOptions = Field(description="Whose call it waits for.")


STEP_KINDS: dict[str, str] = {"use": "UseStep", "map": "MapStep", "wait": "WaitStep"}
"""The key that makes a step's kind, and its model."""


def _kind_of_step(value: Any) -> str | None:
    keys = value.keys() if isinstance(value, dict) else {type(value).__name__[:-4].lower()}
    kinds = [kind for kind in STEP_KINDS if kind in keys]
    return f"${kinds[0]}" if len(kinds) == 1 else None


Step: TypeAlias = Annotated[
    Annotated[UseStep, Tag("$use")] | Annotated[MapStep, Tag("$map")] | Annotated[WaitStep, Tag("$wait")],
    Discriminator(
        _kind_of_step,
        custom_error_type="step_kind",
        custom_error_message="a step needs exactly one of " + ", ".join(f"`{kind}`" for kind in STEP_KINDS),
        custom_error_context={"kinds": ",".join(STEP_KINDS)},
    ),
]


class Flow(FlowModel):
    """A flow: one file, one DAG."""

    flowmate: Literal[1] = Field(description="The version of the format. It also marks the file as a flow.")
    id: Annotated[str, Field(pattern=FLOW_ID)] | None = Field(
        default=None, description="The dag_id. Default: the file's name without its ending."
    )
    title: Title | None = Field(default=None, description="What Airflow's UI shows instead of the id.")
    description: str | None = Field(default=None, description="One or two sentences, shown with the DAG.")
    owner: Title = Field(default="flowmate", description="Who looks after the flow.")
    tags: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(
        default=[], description="Words to find the flow by."
    )
    schedule: str | None = Field(
        default=None,
        description="Cron, `@hourly` and the like, an interval such as `15m`, or `none`. Default: none.",
        examples=["*/15 * * * *", "@daily", "15m"],
    )
    webhook: WebhookOptions | None = Field(
        default=None, description="Start by events that another system sends, instead of a schedule."
    )
    tenants: Tenants | None = Field(
        default=None,
        description=(
            "Run once for each tenant, with the Connections that they have linked: steps whose connector needs "
            "credentials need no `connection` then. `linked`, or a list, is short for `who: …`."
        ),
        examples=["linked", ["acme", "globex"]],
    )
    timezone: str = Field(default="UTC", description="The time zone of the schedule.", examples=["Europe/Berlin"])
    start_date: Day | None = Field(
        default=None, description="No run is for a time before this day. With `catchup`, runs begin here."
    )
    end_date: Day | None = Field(default=None, description="No run is for a time after this day.")
    catchup: bool = Field(default=False, description="Run for each interval that was missed.")
    max_active_runs: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, description="How many runs of the flow may be active at once; with `tenants` that is `at_once`."
    )
    timeout: Duration | None = Field(default=None, description="How long a whole run may take.")
    params: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], dict[str, Any]] = Field(
        default={},
        description="Inputs of a run, each a JSON Schema; Airflow's trigger form and REST `conf` are checked by them.",
    )
    defaults: StepOptions = Field(default=StepOptions(), description="Options for every step.")
    steps: list[Step] = Field(min_length=1, max_length=MAX_STEPS, description="What the flow does, in order.")

    def needs(self, index: int) -> list[str]:
        """Return the ids of the steps that the step at `index` gets its messages from."""
        return effective_needs([(step.id, step.needs) for step in self.steps], index, self.above)

    @property
    def above(self) -> str | None:
        """What stands above the first step: the webhook, where one starts the flow."""
        return None if self.webhook is None else WEBHOOK

    @property
    def tenancy(self) -> TenantOptions | None:
        """For whom it runs, where it runs for tenants."""
        if isinstance(self.tenants, TenantOptions | None):
            return self.tenants
        return TenantOptions(who=self.tenants)

    def option(self, step: StepOptions, name: str) -> Any:
        """Return a step's option: its own, else the flow's default, else None."""
        own = getattr(step, name)
        return own if own is not None else getattr(self.defaults, name)


def effective_needs(steps: list[tuple[str, list[str] | None]], index: int, above: str | None = None) -> list[str]:
    """Return a step's needs with the default (the step above) filled in.

    :param steps: id and `needs` of every step, in the order of the file
    :param above: what stands above the first step
    """
    own = steps[index][1]
    if own is not None:
        return own
    default = steps[index - 1][0] if index else above
    return [] if default is None else [default]
