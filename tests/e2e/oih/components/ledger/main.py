"""A connector on the Python SDK that books each message at a web service."""

import json
import urllib.error
import urllib.request

from flowmate_connector import Connector, MessageError

connector = Connector("ledger")


@connector.action("book")
def book(ctx, message):
    """Put the record under its id."""
    request = urllib.request.Request(
        f"{ctx.config['server']}/ledger/{message.data['id']}",
        data=json.dumps(message.data).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise MessageError(f"the ledger answered {error.code}: {error.read().decode()}") from None


if __name__ == "__main__":
    connector.main()
