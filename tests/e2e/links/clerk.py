"""The code of the connector `clerk`: it reads the books with whatever credential it is given."""

CODE = '''
import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request
from urllib.parse import quote

from flowmate_connector import ConfigError, Connector, TransientError

connector = Connector("clerk")


def signed(url, given):
    """Return the header of OAuth 1 (RFC 5849, section 3.4.2) for a GET without a query."""
    values = {
        "oauth_consumer_key": given["consumer_key"],
        "oauth_nonce": secrets.token_hex(8),
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(int(time.time())),
        "oauth_token": given["token"],
        "oauth_version": "1.0",
    }
    listed = "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in sorted(values.items()))
    base = "&".join(quote(part, safe="") for part in ("GET", url, listed))
    key = f"{quote(given['consumer_secret'], safe='')}&{quote(given['token_secret'], safe='')}"
    values["oauth_signature"] = base64.b64encode(hmac.new(key.encode(), base.encode(), hashlib.sha1).digest()).decode()
    return "OAuth " + ", ".join(f'{name}="{quote(text, safe="")}"' for name, text in values.items())


def headers(url, given):
    if "token_secret" in given:
        return {"Authorization": signed(url, given)}
    if given["auth"] == "session":
        return {"X-Session": given["token"]}
    return {"Authorization": f"Bearer {given['access_token']}"}


@connector.trigger("books")
def books(ctx):
    given = ctx.credentials
    request = urllib.request.Request(given["api"], headers=headers(given["api"], given))
    try:
        with urllib.request.urlopen(request) as answer:
            yield from json.loads(answer.read())["records"]
    except urllib.error.HTTPError as error:
        failure = TransientError if error.code >= 500 else ConfigError
        raise failure(f"the books answer {error.code}") from None
    except OSError as error:
        raise TransientError(f"the books cannot be reached: {error}") from None


if __name__ == "__main__":
    connector.main()
'''
"""Run with the connectors' SDK beside it."""

DOCKERFILE = """
ARG BASE_IMAGE=python:3.12-slim
FROM ${BASE_IMAGE}
COPY . /app
ENV PYTHONPATH=/app
ENTRYPOINT ["python3", "-m", "connector"]
"""
