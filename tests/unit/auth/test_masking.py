"""Secrets that are hidden, whole, in part, and in each other."""

from __future__ import annotations

import pytest

from flowmate_airflow.auth.masking import MAX_SECRETS, Masker


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("nothing of it", "nothing of it"),
        ("it is s3cret-token.", "it is ***."),
        ("s3cret-token s3cret-token", "*** ***"),
        ("s3cret-token-2", "***"),
        ("broken JSON: {s3cret-tok… and more", "broken JSON: {***… and more"),
        ("s3cret-token…", "***…"),
        ("s3c…", "s3c…"),
        ("s3cret…, then s3cre…", "***…, then ***…"),
        ("a long line of s3cret-t (75 more bytes)", "a long line of *** (75 more bytes)"),
        ("…", "…"),
        ("", ""),
    ],
)
def test_what_is_known_is_hidden(text: str, masked: str) -> None:
    assert Masker(["s3cret-token", "s3cret-token-2"])(text) == masked


def test_it_learns_and_shows_nothing() -> None:
    masker = Masker()
    assert masker("one two") == "one two"
    masker.add(["one"])
    masker.add(["two", ""])
    assert masker("one two") == "*** ***"
    assert "one" not in repr(masker)


def test_it_forgets_the_oldest_of_very_many() -> None:
    masker = Masker(["first-of-all"])
    masker.add(f"later-{number}" for number in range(MAX_SECRETS))
    assert masker("first-of-all later-0, later-1999") == "first-of-all ***, ***"


def test_many_cuts_cost_little() -> None:
    masker = Masker(f"secret-{number}" for number in range(50))
    text = "secret-1…" * 10_000
    assert masker(text).count("***") == 10_000
