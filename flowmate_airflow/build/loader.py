"""What `dags/flowmate.py` calls: all flows below its folder, as DAGs."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from flowmate_airflow.build.graph import build_graph
from flowmate_airflow.build.system import IDS, system_dags
from flowmate_airflow.catalog.catalog import Catalog, configured_catalog
from flowmate_airflow.flows.errors import FlowFileError, Problem
from flowmate_airflow.flows.folder import find_yaml_files
from flowmate_airflow.flows.load import LoadedFlow, load_flow, read_bounded
from flowmate_airflow.flows.tenantmodels import DISPATCHER
from flowmate_airflow.settings import ignore_syntax

if TYPE_CHECKING:
    from airflow.sdk import DAG

log = logging.getLogger(__name__)


def load_flows(loader_file: str) -> dict[str, DAG]:
    """Return the DAG of every flow below the loader's folder, and FlowMate's own, by dag_id.

    A broken flow becomes an import error of its own file. When Airflow starts one task, only that task's flow is
    read and built.

    :param loader_file: the loader's `__file__`
    """
    from airflow.sdk import get_parsing_context

    started = time.monotonic()
    folder = Path(loader_file).resolve().parent
    files = find_yaml_files(folder, syntax=ignore_syntax())
    catalog = configured_catalog()
    wanted = get_parsing_context().dag_id
    if wanted is not None:
        return system_dags(wanted, folder) or _load_one(wanted, files, catalog)
    dags = _load_all(folder, files, catalog)
    log.info("FlowMate read %d flows below %s in %.2f seconds", len(dags), folder, time.monotonic() - started)
    return dags


def check_files(
    files: list[Path], catalog: Catalog, root: Path | None = None
) -> tuple[list[LoadedFlow], dict[str, FlowFileError]]:
    """Return the flows that are right, and the errors of those that are not by their file.

    :param root: problems name files relative to it; default: as they are given
    """
    flows: dict[str, list[LoadedFlow]] = defaultdict(list)
    errors: dict[str, FlowFileError] = {}
    for path in files:
        name = _shown(path, root)
        try:
            loaded = load_flow(path, catalog, name=name)
        except FlowFileError as error:
            errors[name] = error
        except OSError as error:
            errors[name] = FlowFileError([Problem(f"the file cannot be read: {error.strerror}", name)])
        else:
            if loaded is not None:
                flows[loaded.flow_id].append(loaded)
    for flow_id, same in flows.items():
        if len(same) > 1:
            errors.update(_taken_twice(flow_id, same, root))
        elif flow_id in IDS:
            errors[_shown(same[0].path, root)] = _id_error(
                same[0],
                root,
                f"the flow id `{flow_id}` is that of a DAG of FlowMate's own",
                "give the flow another `id:`",
            )
    good = [same[0] for flow_id, same in flows.items() if len(same) == 1 and flow_id not in IDS]
    return good, errors


def _shown(path: Path, root: Path | None) -> str:
    return path.as_posix() if root is None else path.relative_to(root).as_posix()


def _taken_twice(flow_id: str, same: list[LoadedFlow], root: Path | None) -> dict[str, FlowFileError]:
    names = [_shown(loaded.path, root) for loaded in same]
    errors = {}
    for name, loaded in zip(names, same, strict=True):
        others = ", ".join(other for other in names if other != name)
        text = f"the flow id `{flow_id}` is taken twice, also in {others}"
        errors[name] = _id_error(loaded, root, text, "give each flow an `id:` of its own")
    return errors


def _id_error(loaded: LoadedFlow, root: Path | None, text: str, hint: str) -> FlowFileError:
    lines = loaded.text.splitlines()
    line = next((number for number, text in enumerate(lines, 1) if re.match(r"""["']?id["']?\s*:""", text)), 1)
    return FlowFileError([Problem(text, _shown(loaded.path, root), line, 1, lines[line - 1], hint=hint)])


def _load_all(folder: Path, files: list[Path], catalog: Catalog) -> dict[str, DAG]:
    from flowmate_airflow.build.broken import BrokenFlow
    from flowmate_airflow.build.dag import build_dag
    from flowmate_airflow.build.subscribing import subscriber_of
    from flowmate_airflow.build.tenants import dispatcher_dag

    flows, errors = check_files(files, catalog, folder)
    graphs = [build_graph(loaded, catalog) for loaded in flows]
    dags: dict[str, DAG] = {graph.flow_id: build_dag(graph) for graph in graphs}
    dags |= {dag.dag_id: dag for dag in map(dispatcher_dag, graphs) if dag is not None}
    for name, error in sorted(errors.items()):
        key = f"broken.{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        dags[key] = BrokenFlow(key, name, error)
    subscribes = any(subscriber_of(loaded, catalog) for loaded in flows)
    return {**dags, **system_dags(None, folder, subscribes=subscribes)}


def _load_one(dag_id: str, files: list[Path], catalog: Catalog) -> dict[str, DAG]:
    """Return the one DAG of that id: the file of that name is tried first, then those that mention the id at all."""
    from flowmate_airflow.build.dag import build_dag
    from flowmate_airflow.build.tenants import dispatcher_dag

    flow_id = dag_id.removesuffix(DISPATCHER)
    build = build_dag if flow_id == dag_id else dispatcher_dag
    named = [path for path in files if path.stem == flow_id]
    mention = flow_id.encode()
    for tried in (named, (path for path in files if path.stem != flow_id and _mentions(path, mention)), files):
        for path in tried:
            try:
                loaded = load_flow(path, catalog)
            except (FlowFileError, OSError) as error:
                log.debug("not the flow %s, or broken: %s: %s", dag_id, path, error)
                continue
            if loaded is not None and loaded.flow_id == flow_id:
                dag = build(build_graph(loaded, catalog))
                return {} if dag is None else {dag_id: dag}
    log.error("there is no flow `%s` below the dags folder; it was removed, renamed or broken", flow_id)
    return {}


def _mentions(path: Path, word: bytes) -> bool:
    try:
        return word in read_bounded(path)
    except OSError:
        return False
