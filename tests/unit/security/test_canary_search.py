"""What looks for canaries finds them: in each form, by halves, in what is compressed, and in no other place."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from canary import PASSWORD, TOKEN, Canary, Hunt, written

CANARIES = [Canary("password", PASSWORD), Canary("token", TOKEN)]
HUNT = Hunt(CANARIES)
FORMS = list(written("anything"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_each_form_is_found(canary: Canary, form: str) -> None:
    text = written(canary.secret)[form]
    assert HUNT.within(f"something {text} else") == [canary.name]
    assert HUNT.within(text[: len(text) * 7 // 10]) == [canary.name]
    assert HUNT.within(text[len(text) * 3 // 10 :]) == [canary.name]


def test_what_is_compressed_is_found_also_unfinished() -> None:
    text = json.dumps([secrets.token_hex(100), CANARIES[0].secret, secrets.token_hex(2000)]).encode()
    assert HUNT.within(gzip.compress(b"first") + gzip.compress(text)) == ["password"]
    assert HUNT.within(zlib.compress(text)) == ["password"]
    assert HUNT.within(gzip.compress(zlib.compress(text))) == ["password"]
    assert HUNT.within(gzip.compress(text)[:-500]) == ["password"]


def test_files_are_found_with_a_database_and_its_log(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "log").write_text(f"x {CANARIES[0].secret}")
    (tmp_path / "deep" / "batch.jsonl.gz").write_bytes(gzip.compress(CANARIES[1].secret.encode()))
    database = sqlite3.connect(tmp_path / "store.db")
    database.execute("pragma journal_mode=wal")
    database.execute("create table t (a text)")
    database.execute("insert into t values (?)", [CANARIES[0].secret + "x" * 10_000])
    database.commit()
    assert HUNT.below(tmp_path) == {
        str(tmp_path / "deep" / "batch.jsonl.gz"): ["token"],
        str(tmp_path / "deep" / "er" / "log"): ["password"],
        str(tmp_path / "store.db-wal"): ["password"],
    }
    database.close()


def test_processes_are_found_by_their_arguments_and_environment() -> None:
    command = [sys.executable, "-S", "-c", "import sys\nprint(flush=True)\nsys.stdin.read()"]
    environment = {**os.environ, "NOTE": CANARIES[0].secret}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, CANARIES[1].secret], env=environment, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.readline()
        found = HUNT.in_processes()
        process.stdin.close()
    assert {key.partition(":")[0]: names for key, names in found.items()} == {
        f"/proc/{process.pid}/cmdline": ["token"],
        f"/proc/{process.pid}/environ": ["password"],
    }


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    other = Canary("other", PASSWORD)
    for text in written(other.secret).values():
        assert HUNT.within(text) == []
    (tmp_path / "random").write_bytes(b"\x1f\x8b" + os.urandom(1_000_000))
    (tmp_path / "zlib").write_bytes(b"\x78" + os.urandom(1_000_000))
    assert HUNT.below(tmp_path) == {}
