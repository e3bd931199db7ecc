"""`flowmate state`: what steps remember between runs, shown, set and reset."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from flowmate_airflow.build.loader import check_files
from flowmate_airflow.catalog.catalog import configured_catalog
from flowmate_airflow.cli.asking import confirm, indented, moment, place
from flowmate_airflow.cli.common import count, print_json_list
from flowmate_airflow.cli.errors import CommandError, UsageError
from flowmate_airflow.cli.jsonfile import json_file
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.flows.folder import find_yaml_files
from flowmate_airflow.flows.load import LoadedFlow
from flowmate_airflow.settings import dags_folder, ignore_syntax
from flowmate_airflow.store import states
from flowmate_airflow.store.states import MAX_STATE, Place, StateEntry
from flowmate_airflow.store.store import Store, open_store

_SHOWN_CHARACTERS = 2000


def show_state(arguments: Namespace) -> int:
    """Print the states, and those held by runs that have not succeeded so far."""
    store = open_store()
    entries = states.list_states(store, arguments.flow, arguments.step, arguments.tenant)
    first = next(entries, None)
    if first is None and (arguments.flow or arguments.step or arguments.tenant):
        raise _none_there(store, arguments)
    found = _with(first, entries)
    if arguments.format == "json":
        print_json_list(map(_facts, found), indent=2)
    else:
        for entry in found:
            _print_entry(entry)
    return 0


def set_state(arguments: Namespace) -> int:
    """Make the JSON of a file the state of a step."""
    if not arguments.force:
        _check_step(arguments.flow, arguments.step)
    at = Place(arguments.flow, arguments.step, arguments.tenant or "")
    states.set_state(open_store(), at, json_file(arguments.file, limit=MAX_STATE))
    print(f"Set {at}: its next run begins with it")
    return 0


def reset_state(arguments: Namespace) -> int:
    """Forget states, so that the next run begins from the start."""
    store = open_store()
    wanted = (arguments.flow, arguments.step, arguments.tenant)
    places = [
        at
        for at in states.list_places(store)
        if all(value in (None, own) for value, own in zip(wanted, (at.flow, at.step, at.tenant), strict=True))
    ]
    if not places:
        raise _none_there(store, arguments)
    names = ", ".join(place(at.flow, at.step, at.tenant) for at in places[:10]) + (", …" if len(places) > 10 else "")
    confirm(f"Forget {count(len(places), 'state')}: {names}?", yes=arguments.yes)
    done = sum(states.reset_state(store, at) for at in places)
    print(f"Forgot {count(done, 'state')}: the next run reads from the start")
    return 0


def _with(first: StateEntry | None, others: Iterator[StateEntry]) -> Iterator[StateEntry]:
    if first is not None:
        yield first
        yield from others


def _facts(entry: StateEntry) -> dict[str, Any]:
    return {
        "flow": entry.place.flow,
        "step": entry.place.step,
        "tenant": entry.place.tenant,
        "run_id": entry.run_id or None,
        "updated_at": entry.updated_at.isoformat(),
        "held": entry.held,
        "state": entry.state,
    }


def _print_entry(entry: StateEntry) -> None:
    source = f"by the run {entry.run_id}" if entry.run_id else "by hand"
    verb = "held" if entry.held else "set"
    until = "; becomes the state when that run's steps have succeeded" if entry.held else ""
    name = place(entry.place.flow, entry.place.step, entry.place.tenant)
    print(f"{name}: {verb} {source}, {moment(entry.updated_at)}{until}")
    text = json.dumps(entry.state, indent=2, ensure_ascii=False)
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]}…\n({len(text):,} characters; --format json prints all)"
    print(indented(text))


def _check_step(flow: str, step: str) -> None:
    """Check that there is such a step, lest a state is set that nobody reads."""
    flows = flows_here()
    loaded = flows.get(flow)
    anyway = "--force sets it nevertheless"
    if loaded is None:
        hint = did_you_mean(flow, flows) or f"{count(len(flows), 'flow')} there"
        raise UsageError(f"there is no flow `{flow}` below {dags_folder()}; {hint} ({anyway})")
    steps = [each.id for each in loaded.flow.steps]
    if step not in steps:
        hint = did_you_mean(step, steps) or f"known: {', '.join(steps)}"
        raise UsageError(f"the flow `{flow}` has no step `{step}`; {hint} ({anyway})")


def flows_here() -> dict[str, LoadedFlow]:
    """Return the flows below the dags folder by their ids, without those that are broken.

    :raises CommandError: the folder cannot be read
    """
    folder = dags_folder()
    try:
        files = find_yaml_files(folder, syntax=ignore_syntax()) if folder.is_dir() else []
    except (ValueError, OSError) as error:
        raise CommandError(f"the flows below {folder} cannot be read: {error}") from None
    flows, _broken = check_files(files, configured_catalog())
    return {loaded.flow_id: loaded for loaded in flows}


def _none_there(store: Store, arguments: Namespace) -> UsageError:
    """Return the error that names what there is instead."""
    there = states.list_places(store)
    flow, step, tenant = arguments.flow, arguments.step, arguments.tenant
    if not there:
        return UsageError("no step has a state so far")
    for asked, what, known in (
        (flow, "flow", {at.flow for at in there}),
        (step, "step", {at.step for at in there if flow in (None, at.flow)}),
        (tenant, "tenant", {at.tenant for at in there if flow in (None, at.flow) and step in (None, at.step)}),
    ):
        if asked is not None and asked not in known:
            names = known - {""}
            hint = did_you_mean(asked, names) or f"{count(len(names), what)} with one"
            return UsageError(f"there is no state of the {what} `{asked}`; {hint}")
    return UsageError("there is no such state; `flowmate state show` lists all")
