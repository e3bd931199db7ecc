"""Every flow of tests/flows: the good ones load, the bad ones give the report that stands beside them.

`UPDATE_REPORTS=1 pytest tests/unit/flows/test_flow_files.py` writes the reports anew; then read what changed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from flowmate_airflow.build.graph import build_graph
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.errors import FlowFileError
from flowmate_airflow.flows.load import load_flow

FLOWS = Path(__file__).resolve().parents[2] / "flows"
GOOD = sorted((FLOWS / "good").glob("*.yaml"))
BAD = sorted((FLOWS / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_flow_loads_and_becomes_a_graph(path: Path, catalog: Catalog) -> None:
    loaded = load_flow(path, catalog, name=path.name)
    assert loaded is not None
    graph = build_graph(loaded, catalog)
    assert [node.id for node in graph.nodes] == [step.id for step in loaded.flow.steps]
    assert {node.id for node in graph.in_order()} == {node.id for node in graph.nodes}


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_flow_gives_the_report_beside_it(path: Path, catalog: Catalog) -> None:
    with pytest.raises(FlowFileError) as caught:
        load_flow(path, catalog, name=path.name)
    report = caught.value.report() + "\n"
    expected = path.with_suffix(".report.txt")
    if os.environ.get("UPDATE_REPORTS"):
        expected.write_text(report, encoding="utf-8")
    assert report == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_no_report_speaks_of_python(path: Path) -> None:
    report = path.with_suffix(".report.txt").read_text(encoding="utf-8")
    told = "\n".join(line for line in report.splitlines() if not re.match(r"\s+[0-9 ]*\|", line))
    for word in ("Traceback", "None", "True", "False", "dict", "instance of", "Input should", "<class", "Error:"):
        assert word not in told
    assert not re.search(r"[\[{(]'", told)


def test_every_report_belongs_to_a_flow() -> None:
    assert {p.name.removesuffix(".report.txt") for p in (FLOWS / "bad").glob("*.report.txt")} == {p.stem for p in BAD}
