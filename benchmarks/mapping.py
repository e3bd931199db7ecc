"""JSONata over messages, and batches from step to step: on one core, without Airflow."""

from __future__ import annotations

import gzip
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jlens
import orjson

from benchmarks.measure import Plan, Row, compare, in_turns
from flowmate_airflow.batches.batch import BatchValue, BatchWriter, read_batch, read_lines
from flowmate_airflow.batches.message import Message
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.steps.mapping import map_lines

BUDGET = 20_000
"""Messages a second that one core must map."""
INLINE = 64 * 1024

EXPRESSIONS = {
    "small": '{ "name": data.title, "cents": data.price * 100 }',
    "order": """{
        "externalId": $string(data.id),
        "amount": $number(data.total),
        "buyer": data.customer.first & " " & data.customer.last,
        "city": $uppercase(data.customer.address.city),
        "paid": data.status = "paid",
        "lines": data.items[qty > 0].{ "sku": sku, "quantity": qty, "total": $round(qty * price, 2) },
        "total": $round($sum(data.items.(qty * price)), 2)
    }""",
    "document": """{
        "id": data.id,
        "count": $count(data.rows),
        "sum": $sum(data.rows.amount),
        "byKind": data.rows{ kind: $sum(amount) }
    }""",
}


def sample(name: str, number: int) -> Message:
    """Return one message of the kind an expression is for."""
    if name == "small":
        data: dict[str, Any] = {"title": f"Thing {number}", "price": number % 100 + 0.5}
    elif name == "order":
        items = [{"sku": f"S-{n}", "qty": (number + n) % 4, "price": 9.95 + n, "title": f"Thing {n}"} for n in range(5)]
        address = {"street": "Main Street 1", "city": "Berlin", "zip": "10115", "country": "DE"}
        customer = {"first": "Ada", "last": f"Byron {number}", "email": f"a{number}@example.com", "address": address}
        data = {
            "id": number,
            "status": "paid",
            "total": "123.45",
            "customer": customer,
            "items": items,
            "note": "x" * 80,
        }
    else:
        rows = [{"n": n, "kind": f"k{n % 7}", "amount": n * 1.5, "text": "y" * 40} for n in range(200)]
        data = {"id": number, "rows": rows}
    return {"id": str(number), "data": data, "metadata": {"stream": name}}


def mapping(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about `map`. Costs are processor seconds a message."""
    for name, count in (("small", 20_000), ("order", 10_000), ("document", 500)):
        yield from _mapping(name, count, plan.times(7, 3), folder)


def _mapping(name: str, count: int, times: int, folder: Path) -> Iterator[Row]:
    expression = EXPRESSIONS[name]
    messages = [sample(name, number) for number in range(count)]
    source = _write(messages, folder / "map-in" / name)
    bare = jlens.Expression(expression)
    lines = [orjson.dumps(message) for message in messages]

    def ours() -> None:
        assert sum(1 for _ in map_lines(expression, lines)) == count

    def evaluate() -> None:
        for message in messages:
            bare.evaluate(message)

    def step() -> None:
        made = _write(map_lines(expression, read_lines(source)), folder / "map-out" / name)
        assert made["count"] == count

    contenders = {"map": ours, "step": step, "bare jlens": evaluate}
    few = messages[: max(20, count // 50)]
    costs = {key: _per_message(run, count) for key, run in contenders.items()}
    peer = _jsonata_python(expression)
    if peer is not None:
        costs["jsonata-python"] = _per_message(lambda: [peer(message) for message in few], len(few))
    samples = in_turns(costs, times)
    size = len(orjson.dumps(messages[0]))
    what = f"map, `{name}` messages of {size:,} bytes"
    # A document of 200 rows is no record: its budget is in rows.
    if name == "document":
        yield compare(f"{what} (200 rows each)", samples, "map", "bare jlens", _rate)
    else:
        yield _by_budget(what, samples["map"])
        yield _by_budget(f"{what}, batch to batch", samples["step"])
        yield compare(what, samples, "map", "bare jlens", _rate)
    yield compare(what, samples, "map", "jsonata-python", _rate)


def _by_budget(what: str, costs: list[float]) -> Row:
    cost = statistics.median(costs)
    peer = f"the budget: {_rate(1 / BUDGET)} a core"
    return Row(what, _rate(cost), peer, cost * BUDGET, 1.0, samples={"map": costs})


def handing_off(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about writing and reading batches. Costs are processor seconds a byte of JSON."""
    messages = [sample("order", number) for number in range(20_000)]
    size = sum(len(orjson.dumps(message)) + 1 for message in messages)
    place = folder / "hand-off"
    place.mkdir(exist_ok=True)
    plain = place / "plain.jsonl.gz"
    batch = _write(messages, place / "ours")

    def write_plain() -> None:
        with gzip.open(plain, "wb", compresslevel=1) as file:
            for message in messages:
                file.write(orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE))

    def read_plain() -> None:
        with gzip.open(plain, "rb") as file:
            for line in file:
                orjson.loads(line)

    def write_ours() -> None:
        _write(messages, place / "ours")

    def read_ours() -> None:
        for _ in read_batch(batch):
            pass

    write_plain()
    bare = "bare gzip and orjson"
    for what, pair in (
        ("write a batch", {"batch": write_ours, bare: write_plain}),
        ("read a batch", {"batch": read_ours, bare: read_plain}),
    ):
        samples = in_turns({key: _per_message(run, size) for key, run in pair.items()}, plan.times(7, 3))
        yield compare(what, samples, "batch", bare, lambda cost: f"{1 / cost / 1e6:,.0f} MB/s")


def _write(messages: Any, folder: Path) -> BatchValue:
    writer = BatchWriter(Storage(str(folder), ("bench",), 1), INLINE)
    for message in messages:
        writer.write(message)
    return writer.finish()


def _per_message(run: Callable[[], object], count: int) -> Callable[[], float]:
    def timed() -> float:
        begin = time.process_time()
        run()
        return (time.process_time() - begin) / count

    return timed


def _jsonata_python(expression: str) -> Callable[[Any], Any] | None:
    if find_spec("jsonata") is None:
        return None
    from jsonata import Jsonata  # type: ignore[import-untyped]

    evaluate: Callable[[Any], Any] = Jsonata(expression).evaluate
    return evaluate


def _rate(cost: float) -> str:
    return f"{1 / cost:,.0f}/s"
