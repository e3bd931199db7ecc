"""A secret is known in each form in which an honest component writes it into its log."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import markupsafe
import pytest

from flowmate_airflow.auth.credentials import Account, inner_base64, secrets_of

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
    "base64 after one": lambda secret: base64.b64encode(f"x{secret}y".encode()).decode(),
    "base64 after two": lambda secret: base64.b64encode(f"xx{secret}yy".encode()).decode(),
    "base64 for URLs, after two": lambda secret: base64.urlsafe_b64encode(f"xx{secret}y".encode()).decode(),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "hexadecimal, upper case": lambda secret: secret.encode().hex().upper(),
    "JSON in JSON": lambda secret: json.dumps(json.dumps({"a": secret})),
    "JSON in JSON in UTF-8": lambda secret: json.dumps(json.dumps(secret, ensure_ascii=False), ensure_ascii=False),
    "HTML": html.escape,
    "a template's HTML": lambda secret: str(markupsafe.escape(secret)),
    "Python": lambda secret: repr({"a": secret}),
    "Python's bytes": lambda secret: repr({"a": secret.encode()}),
    "line by line": lambda secret: secret.splitlines()[1],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_the_form_is_masked(form: Callable[[str], str]) -> None:
    written = form(SECRET)
    for secret in sorted(set(secrets_of(Account("c", login="me", password=SECRET))), key=len, reverse=True):
        written = written.replace(secret, "***")
    assert "***" in written
    hexadecimal = SECRET.encode().hex()[8:20]
    inside = [hexadecimal, hexadecimal.upper(), *(inner[4:16] for inner in inner_base64(SECRET.encode()))]
    for left in ("ss", "rd", "second", *inside, *(each.translate(str.maketrans("+/", "-_")) for each in inside)):
        assert left not in written.replace("password=", "")


def test_a_secret_that_is_no_text_of_unicode_is_no_trouble() -> None:
    assert "a\ud800bcdef" in set(secrets_of(Account("c", login="me", password="a\ud800bcdef")))
