"""A secret is known in each form in which an honest component writes it into its log."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest

from flowmate_airflow.auth.credentials import Account, secrets_of

SECRET = 'pä"ss w/rd\\+%&=\nsecond line of it'

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON in UTF-8": lambda secret: json.dumps(secret, ensure_ascii=False),
    "percent": lambda secret: quote(secret, safe=""),
    "percent, lower case": lambda secret: re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
    "path": quote,
    "form": lambda secret: urlencode({"password": secret}),
    "query": quote_plus,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "basic": lambda secret: f"Basic {base64.b64encode(f'me:{secret}'.encode()).decode()}",
    "line by line": lambda secret: secret.splitlines()[1],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_the_form_is_masked(form: Callable[[str], str]) -> None:
    written = form(SECRET)
    for secret in sorted(set(secrets_of(Account("c", login="me", password=SECRET))), key=len, reverse=True):
        written = written.replace(secret, "***")
    assert "***" in written
    for left in ("ss", "rd", "second", base64.b64encode(SECRET.encode()).decode()[8:16]):
        assert left not in written.replace("password=", "")


def test_a_secret_that_is_no_text_of_unicode_is_no_trouble() -> None:
    assert "a\ud800bcdef" in set(secrets_of(Account("c", login="me", password="a\ud800bcdef")))
