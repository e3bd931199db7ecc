"""Asks a service again and again, and for another token when it is refused."""

import json
import urllib.error
import urllib.request

from flowmate_connector import ConfigError, Connector

connector = Connector("lasting")


def records(ctx):
    used = ctx.credentials
    try:
        return asked(used)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
    try:
        return asked(ctx.renew(rejected=used))
    except urllib.error.HTTPError as error:
        raise ConfigError(f"the service answers {error.code} to a new token") from None


def asked(given):
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    with urllib.request.urlopen(urllib.request.Request(f"{given['server']}/records", headers=headers)) as answer:
        return json.loads(answer.read())["records"]


@connector.trigger("read")
def read(ctx):
    for number in range(ctx.config.get("times", 3)):
        yield {"number": number, "records": len(records(ctx))}


@connector.action("look")
def look(ctx, message):
    return {**message.data, "looked": len(records(ctx))}


if __name__ == "__main__":
    connector.main()
