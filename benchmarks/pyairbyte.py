"""PyAirbyte reading one stream; run by the Python of its own environment, so that nothing of ours is imported.

python pyairbyte.py SOURCE COMMAND CONFIG STREAM lazily|cached FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import airbyte  # type: ignore[import-not-found, unused-ignore]


def main(name: str, command: str, config: str, stream: str, how: str, folder: str) -> None:
    """Read, and print what it cost as the last line."""
    begin = time.perf_counter()
    source = airbyte.get_source(
        name, json.loads(config), local_executable=Path(command), streams=[stream], install_if_missing=False
    )
    if how == "lazily":
        records = source.get_records(stream)  # with a name of its own: it ends the source when it is forgotten
        ready = time.perf_counter()
        found = sum(1 for _ in records)
    else:
        ready = time.perf_counter()
        cache = airbyte.new_local_cache("bench", folder)
        found = source.read(cache, force_full_refresh=True).processed_records
    end = time.perf_counter()
    print("\n" + json.dumps({"count": found, "seconds": end - begin, "reading": end - ready}))


if __name__ == "__main__":
    main(*sys.argv[1:])
