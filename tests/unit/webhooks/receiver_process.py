"""A receiver in a process of its own, which a test may kill: `python receiver_process.py STORE_URL FOLDER`."""

from __future__ import annotations

import socket
import sys

import uvicorn
from receiver_harness import PATH, PUBLIC, FakeDirectory, github

from flowmate_airflow.store.store import open_store
from flowmate_airflow.webhooks.httpserver import BoundedProtocol
from flowmate_airflow.webhooks.inbox import Inbox
from flowmate_airflow.webhooks.mount import Alone
from flowmate_airflow.webhooks.receiver import Receiver

if __name__ == "__main__":
    url, folder = sys.argv[1:]
    receiver = Receiver(
        FakeDirectory(github(rate=10_000_000)), Inbox(lambda: open_store(url), folder), f"{PUBLIC}{PATH}"
    )
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)  # whoever connects before uvicorn is ready waits
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(Alone(receiver), http=BoundedProtocol, ws="none", log_level="error", access_log=False)
        uvicorn.Server(config).run([listening])
