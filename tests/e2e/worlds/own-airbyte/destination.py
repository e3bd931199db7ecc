"""An Airbyte destination on Airbyte's own CDK: tables in a SQLite file below /data, and a few habits."""

import json
import sqlite3
import sys
import time
from pathlib import Path

from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    ConnectorSpecification,
    DestinationSyncMode,
    Status,
    Type,
)

SPEC = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string"},
        "password": {"type": "string", "airbyte_secret": True},
        "hold_at": {"type": "integer"},
        "die_at": {"type": "integer"},
        "quit_at": {"type": "integer"},
    },
}


class Sqlite(Destination):
    """Keeps the records of a stream in a table with the columns `key` and `data`."""

    def spec(self, *_args, **_options):
        modes = [DestinationSyncMode.append, DestinationSyncMode.overwrite, DestinationSyncMode.append_dedup]
        return ConnectorSpecification(connectionSpecification=SPEC, supported_destination_sync_modes=modes)

    def check(self, _logger, config):
        if config.get("password", "right") != "right":
            return AirbyteConnectionStatus(status=Status.FAILED, message="wrong password")
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def write(self, config, configured_catalog, input_messages):
        database = sqlite3.connect(f"/data/{config['file']}")
        keys = {}
        for each in configured_catalog.streams:
            name = each.stream.name
            database.execute(f'create table if not exists "{name}" (key text unique, data text)')
            if each.destination_sync_mode == DestinationSyncMode.overwrite:
                database.execute(f'delete from "{name}"')
            dedup = each.destination_sync_mode == DestinationSyncMode.append_dedup
            keys[name] = [path[0] for path in each.primary_key] if dedup else None
        count = 0
        for message in input_messages:
            if message.type == Type.RECORD:
                count += 1
                self._habits(config, count)
                if count == config.get("quit_at"):
                    return
                record = message.record
                key = keys[record.stream]
                place = json.dumps([record.data[name] for name in key]) if key else None
                row = (place, json.dumps(record.data))
                database.execute(f'insert or replace into "{record.stream}" values (?, ?)', row)
                if count % 20 == 0:
                    database.commit()
            elif message.type == Type.STATE:
                database.commit()
                yield message
        database.commit()

    def _habits(self, config, count):
        if count == config.get("die_at"):
            raise RuntimeError("the disk is full")
        hold = Path(f"/data/{config['file']}.hold")
        if count == config.get("hold_at") and hold.exists():
            hold.with_suffix(".waiting").touch()
            while hold.exists():
                time.sleep(0.05)


Sqlite().run(sys.argv[1:])
