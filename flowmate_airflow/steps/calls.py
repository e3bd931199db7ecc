"""What one `use` step asks of its component, put together from the flow, the manifest and the Connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.auth.credentials import Account, credentials_for
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.steps.connector import Call
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.jobs import check_config


@dataclass(frozen=True, slots=True)
class StepRun:
    """One try of one step of one run."""

    flow: str
    run_id: str
    step: str
    try_number: int = 1


def make_call(
    manifest: Manifest,
    use: str,
    run: StepRun,
    *,
    config: Mapping[str, Any],
    account: Account | None,
    on_error: str,
    id_prefix: str,
) -> Call:
    """Return the call of a step's function.

    :param use: connector, function and perhaps version, as the flow names them
    :param config: the rendered `with`
    :param account: the Connection, or None when the step names none
    :param on_error: what becomes of the others when one message fails: `fail` or `skip`
    :param id_prefix: how the ids of messages begin that the component gave none
    :raises ConfigFailure: the function does not exist, a field does not fit it, or the Connection lacks a part
    """
    name = use.partition("/")[2].partition("@")[0]
    function = manifest.function(name)
    if function is None:
        raise ConfigFailure(f"step `{run.step}`: `{manifest.name}` has no function `{name}`")
    check_config(function, config, run.step)
    return Call(
        step=run.step,
        use=use,
        config=config,
        credentials=credentials_for(manifest, account, run.step),
        context={
            "flow": run.flow,
            "run_id": run.run_id,
            "step": run.step,
            "function": name,
            "try_number": run.try_number,
            "on_error": on_error,
        },
        id_prefix=id_prefix,
        skip_errors=on_error == "skip",
    )
