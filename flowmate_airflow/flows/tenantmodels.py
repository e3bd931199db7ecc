"""The models of the flow key `tenants`: for whom a flow runs, once for each."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from flowmate_airflow.auth.names import TENANT
from flowmate_airflow.flows.values import FlowModel

GATE = "tenant"
"""The id of the first task of a flow with tenants, and the key of a run's conf that says whose run it is."""
DISPATCHER = "__tenants"
"""What follows a flow's id in the id of the DAG that starts its runs, one for each tenant."""
ONLY = "tenants"
"""The key of the conf of a run of that DAG that says for which tenants only it starts runs."""
LINKED = "linked"
AT_ONCE = 16

TenantId: TypeAlias = Annotated[str, Field(pattern=f"^{TENANT}$")]
AllLinked: TypeAlias = Annotated[Literal["linked"], Tag("$linked")]
Listed: TypeAlias = Annotated[list[TenantId], Field(min_length=1, max_length=10_000), Tag("$listed")]
Who: TypeAlias = Annotated[
    AllLinked | Listed,
    Discriminator(lambda value: "$listed" if isinstance(value, list) else "$linked"),
]
"""`linked`, or the tenants by their ids."""


class TenantOptions(FlowModel):
    """For whom the flow runs, and how these runs go together."""

    who: Who = Field(
        default="linked",
        description="`linked`: every tenant who has linked all connectors that the flow links. Or a list of tenants.",
        examples=["linked", ["acme", "globex"]],
    )
    active: Literal["queue", "skip"] = Field(
        default="queue",
        description="When a run of the tenant is still active: `queue` behind it, or `skip` the new one.",
    )
    at_once: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=AT_ONCE, description="How many runs may be active at once, over all tenants."
    )
    schedules: Literal["own"] | None = Field(
        default=None,
        description="`own`: tenants may have a schedule of their own. Default: all run by the flow's.",
    )
    on_link: Literal["run"] | None = Field(
        default=None,
        description="`run`: a tenant who links the last connector that the flow needs, or one again, gets a run.",
    )


def _tag(value: Any) -> str:
    if isinstance(value, dict | TenantOptions):
        return "$tenants"
    return "$listed" if isinstance(value, list) else "$linked"


Tenants: TypeAlias = Annotated[
    AllLinked | Listed | Annotated[TenantOptions, Tag("$tenants")],
    Discriminator(_tag),
]
"""`linked` or a list, which are short for `{who: …}`, or the options."""
