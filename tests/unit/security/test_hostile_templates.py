"""What a template in `with` may do: give JSON, of a bounded size, out of what the run knows, and nothing else."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pendulum
import pytest
from airflow.sdk.definitions._internal.templater import SandboxedEnvironment

from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.templates import MAX_TEXT, render


class TaskInstance:
    """Stands for the objects in a template's context."""

    task_id = "orders"


CONTEXT = {
    "ti": TaskInstance(),
    "data_interval_start": pendulum.datetime(2026, 1, 2, 3),
    "ds": "2026-01-02",
    "params": {"since": None, "n": 10**9, "tables": ["a", "b"], "deep": {"x": [1, True]}},
    "strange": {"decimal": Decimal("1.5"), "nan": math.nan, "inf": math.inf, "big": 2**64, "set": {1}, "bytes": b"x"},
}


def _render(value: Any, folder: Path | None = None) -> Any:
    environment = SandboxedEnvironment(  # type: ignore[no-untyped-call]
        loader=jinja2.FileSystemLoader(folder or "."), extensions=["jinja2.ext.do"], cache_size=0
    )
    return render({"f": value}, CONTEXT, environment)["f"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ data_interval_start }}", "2026-01-02T03:00:00+00:00"),
        ("{{ data_interval_start.date() }}", "2026-01-02"),
        ("{{ params.deep }}", {"x": [1, True]}),
        ("{{ params.since }}", None),
        ("{{ params.tables + ['c'] }}", ["a", "b", "c"]),
        ("{{ (1, 2) }}", [1, 2]),
        ("{{ range(3) }}", [0, 1, 2]),
        ("{{ 6 * 7 }}", 42),
        ("{{ '-' * 3 }}", "---"),
        ("{{ 2 ** 10 }}", 1024),
        ("{{ 1e300 }}", 1e300),
        ("{{ ti.task_id }} {{ ds }}", "orders 2026-01-02"),
        (("{{ ds }}", 1), ["2026-01-02", 1]),
        (SimpleNamespace(iter_references=1, resolve=lambda context: {"a": context["ds"]}), {"a": "2026-01-02"}),
    ],
)
def test_what_comes_out_is_json(text: Any, expected: Any) -> None:
    assert _render(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ ().__class__.__mro__[1].__subclasses__() }}",
        "{{ ti.__class__ }}",
        "{{ ti['__class__'] }}",
        "{{ ti|attr('__class__') }}",
        "{{ '{0.__class__}'.format(ti) }}",
        "{{ ti.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ self.__init__.__globals__ }}",
    ],
)
def test_a_template_cannot_leave_the_sandbox(text: str) -> None:
    for each in (text, f"x{text}"):
        try:
            result = _render(each)
        except ConfigFailure:
            continue
        assert result in ("", "x")


@pytest.mark.parametrize("how", ["include", "import", "extends", "from"])
def test_a_template_reads_no_other_file(tmp_path: Path, how: str) -> None:
    (tmp_path / "other.yaml").write_text("a secret of another flow")
    tail = {"import": " as x", "from": " import x"}.get(how, "")
    with pytest.raises(ConfigFailure, match="no loader"):
        _render(f"{{% {how} 'other.yaml'{tail} %}}", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 10**9 }}",
        "{{ 'a' * params.n }}",
        "{{ params.n * [1] }}",
        "{{ 10 ** params.n }}",
        "x{{ ('a' * 1000000) * 1000000 }}",
        "{% for i in range(99999) %}{% for i in range(99999) %}0123456789abcdef{% endfor %}{% endfor %}",
        "{% for i in range(10**9) %}{% endfor %}",
        f"{{{{ 'a'.join(['b'] * {MAX_TEXT}) }}}}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    ],
    ids=["product", "of a param", "list", "power", "twice", "loops", "range", "join", "nested"],
)
def test_a_template_stays_small(text: str) -> None:
    with pytest.raises(ConfigFailure, match="cannot be rendered") as caught:
        _render(text)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", [*CONTEXT["strange"]])  # type: ignore[misc]
def test_what_is_no_json_is_refused(name: str) -> None:
    with pytest.raises(ConfigFailure, match="JSON"):
        _render(f"{{{{ strange.{name} }}}}")


def test_objects_of_the_run_are_refused() -> None:
    with pytest.raises(ConfigFailure, match="gives a TaskInstance, which is no JSON"):
        _render("{{ ti }}")
    with pytest.raises(ConfigFailure, match="is undefined"):
        _render("{{ conn.erp.password }}")


@pytest.mark.parametrize(
    ("text", "expected"), [("{{ -params.n }}", -3), ("{{ - params.n }}", -3), ("{{- params.n -}}", 3)]
)
def test_a_sign_beside_the_braces_is_white_space_control_and_any_other_a_sign(text: str, expected: int) -> None:
    assert render(text, {"params": {"n": 3}}, SandboxedEnvironment()) == expected
