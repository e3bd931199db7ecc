"""The OpenID provider of npm's `oidc-provider` on the loopback.

It rotates refresh tokens and finds out when one is used twice, PKCE is required, addresses of the way back are
registered by :meth:`Oidc.allow`, and `/records` takes its access tokens.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

HERE = Path(__file__).resolve().parent / "oidc_provider"
CACHE = Path(__file__).resolve().parents[2] / ".tools" / "npm"
NPM_SECONDS = 600
CLIENT = ("flowmate", "the/secret+of the:client")
"""That says who it is by HTTP Basic: its secret has what must be encoded there."""
BODY_CLIENT = ("flowmate-post", "the-secret-in-the-body")
"""That says so in the body."""
MACHINE = ("machine", "the-secret-of-the-machine")
"""For the grant `client_credentials`."""
_REQUEST_SECONDS = 30


class Missing(Exception):
    """The machine has no Node, or npm could not install the provider."""


def program(name: str) -> str | None:
    """Return where Node or npm is: what NODE names, on the PATH, or that of the tests' environment."""
    chosen = os.environ.get("NODE") if name == "node" else None
    return chosen or shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def installed() -> Path:
    """Install the provider once and return its node_modules.

    :raises Missing: that cannot be
    """
    folder = CACHE / "oidc"
    wanted = (HERE / "package.json").read_text()
    folder.mkdir(parents=True, exist_ok=True)
    # The tests may run in several processes, of which one installs.
    with (CACHE / "oidc.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not done.exists() or done.read_text() != wanted:
            (folder / "package.json").write_text(wanted)
            _install(folder)
            done.write_text(wanted)
    return folder / "node_modules"


def _install(folder: Path) -> None:
    npm = program("npm")
    if npm is None:
        raise Missing("there is no `npm` on the PATH")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    path = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"  # npm itself needs Node
    ran = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=NPM_SECONDS,
        check=False,
    )
    if ran.returncode != 0:
        raise Missing(f"npm could not install oidc-provider: {ran.stderr[-500:]}")


class Oidc:
    """The provider; a context.

    :param address: of this machine, that it listens at
    :ivar url: its address, which is its `iss`, too
    """

    url: str

    def __init__(self, address: str = "127.0.0.1") -> None:
        self._address = address

    def __enter__(self) -> Oidc:
        node = program("node")
        if node is None:
            raise Missing("there is no `node` on the PATH (and NODE names none)")
        self._process = subprocess.Popen(
            [node, str(HERE / "server.js"), str(installed()), self._address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Missing("oidc-provider ended before it began; run tests/providers/oidc_provider/server.js by hand")
        self.url = json.loads(line)["url"]
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()  # which it ends with
        self._process.wait(_REQUEST_SECONDS)
        self._process.stdout.close()

    def change(self, **settings: Any) -> None:
        """Change settings: access_ttl, refresh_ttl, code_ttl, rotate, refresh_tokens, redirect_uris, records."""
        requests.post(f"{self.url}/control", json=settings, timeout=_REQUEST_SECONDS).raise_for_status()

    def reset(self) -> None:
        """Set it as it began, and count anew; what it gave stays good."""
        requests.delete(f"{self.url}/control", timeout=_REQUEST_SECONDS).raise_for_status()

    def allow(self, *redirect_uris: str) -> None:
        """Register addresses of the way back, beside those that are."""
        self.change(redirect_uris=[*self._control()["settings"]["redirect_uris"], *redirect_uris])

    @property
    def counted(self) -> dict[str, Any]:
        """What has happened: `grants` by type, `errors` in turn, `reused`, `revoked`, `records`."""
        found: dict[str, Any] = self._control()["counted"]
        return found

    @property
    def refreshes(self) -> int:
        """How many refresh tokens it has taken."""
        return int(self.counted["grants"].get("refresh_token", 0))

    def _control(self) -> Any:
        return requests.get(f"{self.url}/control", timeout=_REQUEST_SECONDS).json()

    def auth(self, **more: Any) -> dict[str, Any]:
        """Return a manifest's method for it, with a consent; `more` changes it."""
        return {
            "type": "oauth2",
            "authorize_url": f"{self.url}/auth",
            "token_url": f"{self.url}/token",
            "revoke_url": f"{self.url}/token/revocation",
            "issuer": self.url,
            "require_issuer": True,
            "scopes": {
                "openid": "To know who you are.",
                "offline_access": "To work while you are away.",
                "records.read": "To read your records.",
            },
            "authorize_params": {"prompt": "consent"},
            "client_auth": "header",
            "private": True,
            "verify": {"url": f"{self.url}/records", "account": {"account": "login"}},
            **more,
        }

    def machine_auth(self, **more: Any) -> dict[str, Any]:
        """Return a manifest's method for it, by client credentials."""
        return {
            "type": "oauth2",
            "grant": "client_credentials",
            "token_url": f"{self.url}/token",
            "scopes": {"records.read": "To read your records."},
            "client_auth": "header",
            "private": True,
            "verify": {"url": f"{self.url}/records"},
            **more,
        }

    def consent(self, url: str, login: str = "ada", *, allow: bool = True) -> str:
        """Go through the provider's pages as a person with a browser would, and return the address of the way back."""
        with requests.Session() as browser:
            answer = browser.get(url, allow_redirects=False, timeout=_REQUEST_SECONDS)
            while True:
                if answer.status_code >= 400:
                    raise AssertionError(f"the provider answered {answer.status_code}: {answer.text[:500]}")
                if answer.is_redirect:
                    address = urljoin(answer.url, answer.headers["Location"])
                    if not address.startswith(f"{self.url}/"):
                        return address
                    answer = browser.get(address, allow_redirects=False, timeout=_REQUEST_SECONDS)
                else:
                    form: Mapping[str, str] = {"login": login, "answer": "allow" if allow else "deny"}
                    answer = browser.post(answer.url, data=form, allow_redirects=False, timeout=_REQUEST_SECONDS)
