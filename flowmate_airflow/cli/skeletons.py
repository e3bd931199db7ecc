"""The files that `flowmate new` writes. `NAME` stands for the new flow's or connector's name."""

from __future__ import annotations

FLOW = """\
# Reads orders from a file, keeps the large ones, and writes them to another file.
#
#   flowmate lint NAME.yaml      checks it
#   flowmate run NAME.yaml       runs it here, without Airflow
#
# Below Airflow's dags folder it is a DAG of its own.
flowmate: 1
id: NAME
title: Large orders
schedule: none                  # or cron such as "0 6 * * *", @daily, 15m

params:                         # asked for when a run is triggered by hand
  file: {type: string, default: NAME_orders.csv}

steps:
  - id: orders
    use: files/read             # connector/function; `flowmate connectors show files` tells its fields
    with:                       # Jinja: what this run does
      path: "{{ params.file }}"
      types: {amount: number}

  - id: large
    when: data.amount >= 100    # JSONata: which messages come in here
    map: |                      # JSONata: what becomes of each message
      {
        "order": data.id,
        "buyer": $trim(data.first_name & " " & data.last_name),
        "cents": $round(data.amount * 100)
      }

  - id: saved
    use: files/write
    with: {path: NAME_large.jsonl}
"""

SAMPLE = """\
id,first_name,last_name,amount
1001,Ada,Lovelace,120.50
1002,Alan,Turing,49.99
1003,Grace,Hopper,310.00
1004,Edsger,Dijkstra,15.20
1005,Mary,Jackson,100.00
"""

MANIFEST = """\
# What the connector can do. `flowmate connectors show NAME` shows it, `flowmate lint` checks flows against it.
connector: 1
name: NAME
version: 0.1.0
title: NAME
description: What it connects to, in a sentence.
image: NAME:0.1.0               # docker build -t NAME:0.1.0 .
process:                        # for machines without a container engine
  module: connector
  requirements: []              # such as "requests>=2.32,<3"; the Dockerfile must install them, too
limits:
  read_only: true
  user: "65534:65534"

# Which parts of an Airflow Connection a function gets, and under which names (ctx.credentials["accessToken"]):
# auth:
#   bearer:
#     title: Bearer token
#     required: {accessToken: password}
#     optional: {baseUrl: url}

triggers:
  list_items:
    title: List items
    description: Each item becomes a message.
    fields:
      limit: {type: integer, minimum: 1, default: 3, description: How many items.}
    out:
      type: object
      properties:
        number: {type: integer}
        name: {type: string}

actions:
  save_item:
    title: Save an item
    description: Saves the data of each message and hands on what was saved.
    required: [name_field]
    fields:
      name_field: {type: string, minLength: 1, examples: [name], description: Which key has the item's name.}
"""

CODE = '''\
"""The connector NAME."""

from flowmate_connector import Connector, Context, Message, MessageError

connector = Connector("NAME")


@connector.trigger("list_items")
def list_items(ctx: Context):
    # ctx.config is the step's `with`, ctx.credentials come from its Connection.
    for number in range(1, ctx.config.get("limit", 3) + 1):
        yield {"number": number, "name": f"Item {number}"}


@connector.action("save_item")
def save_item(ctx: Context, message: Message):
    field = ctx.config["name_field"]
    if not message.data.get(field):
        raise MessageError(f"the item has no {field}")
    return {"saved": message.data[field]}


if __name__ == "__main__":
    connector.main()
'''

DOCKERFILE = """\
# docker build -t NAME:0.1.0 .
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}
# RUN python3 -m pip install --no-cache-dir "requests>=2.32,<3"
WORKDIR /opt/connector
COPY . .
ENV PYTHONDONTWRITEBYTECODE=1
USER 65534:65534
ENTRYPOINT ["python3", "connector.py"]
"""

TEST = '''\
"""Runs the connector as FlowMate does: lines of JSON in, lines of JSON out. `python -m pytest` in this folder."""

import json
import subprocess
import sys
from pathlib import Path

CONNECTOR = Path(__file__).with_name("connector.py")


def run(function, config, *data):
    lines = [{"type": "CONFIG", "config": config, "credentials": {}, "state": None, "context": {}}]
    lines += [{"type": "MESSAGE", "message": {"id": str(n), "data": item}} for n, item in enumerate(data, 1)]
    done = subprocess.run(
        [sys.executable, CONNECTOR, "run", function],
        input="\\n".join(map(json.dumps, lines)),
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def data_of(events):
    return [event["message"]["data"] for event in events if event["type"] == "MESSAGE"]


def test_lists_as_many_items_as_asked_for():
    assert [item["number"] for item in data_of(run("list_items", {"limit": 2}))] == [1, 2]


def test_saves_an_item():
    assert data_of(run("save_item", {"name_field": "name"}, {"name": "Lamp"})) == [{"saved": "Lamp"}]


def test_an_item_without_a_name_fails_alone():
    events = run("save_item", {"name_field": "name"}, {}, {"name": "Lamp"})
    assert [event["id"] for event in events if event["type"] == "ERROR"] == ["1"]
'''
