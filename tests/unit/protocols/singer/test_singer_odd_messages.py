"""Messages of other worlds on their way into a target."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from flowmate_airflow.catalog.manifest import SingerImage
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.singer_target import SingerTarget


@pytest.mark.parametrize("metadata", ["text", [1], 7, None, {}])
def test_metadata_that_are_no_object_say_nothing(metadata: Any) -> None:
    target = SingerTarget(Request(context={"step": "s"}), SingerImage())
    lines = list(target.feed([orjson.dumps({"id": "1", "data": {"a": 1}, "metadata": metadata})]))
    assert [orjson.loads(line)["type"] for line in lines] == ["SCHEMA", "RECORD"]
