"""`flowmate tenants`: what is said of tenants, shown, set and removed."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from typing import Any

from flowmate_airflow.cli.asking import confirm, indented, moment, plain
from flowmate_airflow.cli.common import catalog_of, count, print_json
from flowmate_airflow.cli.errors import UsageError
from flowmate_airflow.cli.jsonfile import json_file
from flowmate_airflow.cli.links import facts, line, names_of, told_failures
from flowmate_airflow.flows.errors import did_you_mean, shown
from flowmate_airflow.store import linked as links
from flowmate_airflow.store import renewals, tenants
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.store.tenants import Tenant, TenantFlow

_SHOWN_CHARACTERS = 2000


def list_tenants(arguments: Namespace) -> int:
    """Print each tenant, and how many links there are."""
    store = open_store()
    linked = Counter(row.tenant for row in links.find_all(store) if not row.is_template)
    known = {each.tenant: each for each in tenants.list_tenants(store)}
    found = [known.get(name, Tenant(name)) for name in sorted({*known, *linked})]
    if arguments.format == "json":
        print_json(
            [
                {
                    "tenant": each.tenant,
                    "links": linked[each.tenant],
                    "created_at": each.created_at.isoformat() if each.created_at else None,
                }
                for each in found
            ]
        )
        return 0
    if not found:
        print("there are no tenants; one comes to be with the first link")
    for each in found:
        since = f", since {moment(each.created_at)}" if each.created_at else ""
        print(f"{each.tenant}: {count(linked[each.tenant], 'link')}{since}")
    return 0


def show_tenant(arguments: Namespace) -> int:
    """Print what is known of a tenant."""
    store = open_store()
    found = tenants.find_tenant(store, arguments.tenant)
    rows = links.of_tenant(store, arguments.tenant)
    flows = tenants.flows_of(store, arguments.tenant)
    if found is None and not rows and not flows:
        raise _none_there(store, arguments.tenant)
    known = renewals.statuses(store, {row.conn_id for row in rows})
    config = {} if found is None else found.config
    if arguments.format == "json":
        print_json(
            {
                "tenant": arguments.tenant,
                "config": config,
                "links": [facts(row, known.get(row.conn_id)) for row in rows],
                "flows": [_flow_facts(each) for each in flows],
            }
        )
        return 0
    print(f"{arguments.tenant}:")
    print("\n".join(indented(line(row, known.get(row.conn_id))) for row in rows) or "  no links")
    for each in flows:
        print(indented(_flow_line(each)))
    print(indented(f"config: {_short(config)}"))
    return 0


def set_tenant(arguments: Namespace) -> int:
    """Set a tenant's config, or what differs for them in a flow."""
    from flowmate_airflow.auth.mappings import TenantError, check_config, check_mapping
    from flowmate_airflow.auth.tenants import save_config, set_flow

    changes = _changes(arguments)
    if changes and arguments.flow is None:
        raise UsageError("--on, --off, --schedule and --mapping are about a flow; name it with --flow")
    if not changes and arguments.flow is not None:
        raise UsageError("nothing is said of the flow: give --on, --off, --schedule or --mapping")
    if not changes and arguments.config is None:
        raise UsageError("nothing to set: give --config, or --flow with what differs")
    if arguments.config == "-" == arguments.mapping:
        raise UsageError("only one of --config and --mapping can be read from standard input")
    if arguments.flow is not None and not arguments.force:
        _check_flow(arguments.flow)
    store = open_store()
    with told_failures():
        # All of it is looked at before anything is changed.
        config = None if arguments.config is None else check_config(json_file(arguments.config, "--config"))
        if arguments.mapping is not None:
            changes["mapping"] = json_file(arguments.mapping, "--mapping")
            try:
                check_mapping(changes["mapping"])
            except TenantError as error:
                raise UsageError(f"--mapping: {error.text}") from None
        if changes:
            made = set_flow(arguments.tenant, arguments.flow, store=store, **changes)
            print(f"Set for the tenant {arguments.tenant}: {_flow_line(made)}")
        if config is not None:
            save_config(arguments.tenant, config, store)
            print(f"Set the config of the tenant {arguments.tenant}")
    return 0


def delete_tenant(arguments: Namespace) -> int:
    """Unlink all that a tenant has linked, and remove what is kept of them."""
    from flowmate_airflow.auth.tenants import delete

    store = open_store()
    tenant = arguments.tenant
    rows = links.of_tenant(store, tenant)
    if not rows and tenants.find_tenant(store, tenant) is None and not tenants.flows_of(store, tenant):
        raise _none_there(store, tenant)
    used = _used(store, rows) if arguments.force else []
    also = f", with those that use its credentials ({names_of(used)})" if used else ""
    confirm(f"Remove the tenant {tenant}, {count(len(rows), 'link')}{also}, states and all else?", yes=arguments.yes)
    catalog = catalog_of(arguments)
    with told_failures():
        for done in delete(catalog, tenant, force=arguments.force, store=store):
            if isinstance(done, int):
                print(f"Removed the tenant {tenant} with {count(done, 'row')} of the store")
                continue
            print(f"Removed {done.linked}", flush=True)
            if done.problem is not None:
                print(f"{done.linked}: {plain(done.problem)}", file=sys.stderr)
    return 0


def _changes(arguments: Namespace) -> dict[str, Any]:
    if arguments.on and arguments.off:
        raise UsageError("--on and --off do not go together")
    changes: dict[str, Any] = {}
    if arguments.on or arguments.off:
        changes["is_on"] = bool(arguments.on)
    if arguments.schedule is not None:
        changes["schedule"] = arguments.schedule
    if arguments.mapping is not None:
        changes["mapping"] = None
    return changes


def _check_flow(flow: str) -> None:
    """Check that there is such a flow, lest something is set that nobody reads."""
    from flowmate_airflow.cli.state import flows_here
    from flowmate_airflow.settings import dags_folder

    flows = flows_here()
    anyway = "--force sets it nevertheless"
    if flow not in flows:
        hint = did_you_mean(flow, flows) or f"{count(len(flows), 'flow')} there"
        raise UsageError(f"there is no flow {shown(flow)} below {dags_folder()}; {hint} ({anyway})")
    if flows[flow].flow.tenants is None:
        raise UsageError(f"the flow `{flow}` runs for no tenants: it has no key `tenants` ({anyway})")


def _used(store: Store, rows: list[Linked]) -> list[Linked]:
    users = [user for row in rows for user in links.users_of(store, row.tenant, row.connector)]
    return [user for user in users if user.tenant not in {row.tenant for row in rows}]


def _flow_facts(each: TenantFlow) -> dict[str, Any]:
    return {
        "flow": each.flow,
        "on": each.is_on,
        "schedule": each.schedule,
        "next_at": each.next_at.isoformat() if each.next_at else None,
        "mapping": each.mapping,
    }


def _flow_line(each: TenantFlow) -> str:
    when = "" if each.schedule is None else f", its own schedule {each.schedule}"
    mapping = "" if each.mapping is None else ", its own mapping"
    return f"the flow {each.flow} is {'on' if each.is_on else 'off'}{when}{mapping}"


def _short(config: Any) -> str:
    text = json.dumps(config, indent=2, ensure_ascii=False)
    if len(text) > _SHOWN_CHARACTERS:
        return f"{text[:_SHOWN_CHARACTERS]}…\n({len(text):,} characters; --format json prints all)"
    return text


def _none_there(store: Store, tenant: str) -> UsageError:
    names = {each.tenant for each in tenants.list_tenants(store)}
    if not names:
        return UsageError("there are no tenants; one comes to be with the first link")
    hint = did_you_mean(tenant, names) or "`flowmate tenants list` lists all"
    return UsageError(f"there is no tenant {shown(tenant)}; {hint}")
