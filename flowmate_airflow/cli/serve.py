"""`flowmate webhooks serve`: the receiver alone, for load that the API server should not have."""

from __future__ import annotations

import sys
from argparse import Namespace

from flowmate_airflow.cli.errors import CommandError, UsageError

_APP = "flowmate_airflow.webhooks.mount:alone"
_GRACE = 30


def serve(arguments: Namespace) -> int:
    """Receive webhooks until this is ended.

    :raises UsageError: the address or the number of processes is none
    :raises CommandError: the address cannot be listened at
    """
    if not 0 < arguments.port < 65536:
        raise UsageError("--port must be a number from 1 to 65535")
    if arguments.workers < 1:
        raise UsageError("--workers must be 1 or more")
    import airflow.settings  # noqa: F401  configures Airflow's logging, and tells at once when its configuration is wrong
    import uvicorn

    from flowmate_airflow.webhooks.addresses import PATH
    from flowmate_airflow.webhooks.httpserver import BoundedProtocol

    print(f"receiving webhooks at http://{arguments.host}:{arguments.port}{PATH}", file=sys.stderr)
    try:
        uvicorn.run(
            _APP,
            factory=True,
            host=arguments.host,
            port=arguments.port,
            workers=arguments.workers,
            http=BoundedProtocol,
            ws="none",
            # Addresses have tokens in them, and there are thousands a second.
            access_log=False,
            log_level="warning",
            # What a proxy says of the sender is of no use here, and anybody could say it.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
    except SystemExit as error:  # uvicorn has told why
        if error.code:
            raise CommandError(f"webhooks cannot be received at {arguments.host}:{arguments.port}") from None
    return 0
