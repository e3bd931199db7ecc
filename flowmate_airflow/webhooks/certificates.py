"""Amazon's certificates, with which SNS signs: fetched from Amazon only, kept for a while."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from flowmate_airflow.webhooks.requests import Rejected

MAX_BYTES = 64 * 1024
"""Of a certificate."""
MAX_KEPT = 32
KEEP = 24 * 60 * 60.0
"""Seconds that a certificate is kept."""
KEEP_FAILURE = 60.0
"""Seconds in which a certificate that could not be had is not asked for again."""
TIMEOUT = (3.05, 5.0)
MIN_KEY_BITS = 2048

# A region, and nothing else: `sns.s3.amazonaws.com` would be a bucket of anybody's.
HOST = r"https://sns\.[a-z]{2,3}(?:-[a-z]{2,12}){1,3}-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(HOST + r"/[A-Za-z0-9_-]{1,200}\.pem")
_CONFIRM = re.compile(HOST + r"/\?Action=ConfirmSubscription&[A-Za-z0-9_.:&=%+-]{1,2000}")

Fetch = Callable[[str], bytes]
"""Gets what is at an address; raises OSError when it cannot."""


def is_confirm_url(url: object) -> bool:
    """Return whether an address is Amazon's for confirming a subscription."""
    return isinstance(url, str) and _CONFIRM.fullmatch(url) is not None


def fetch(url: str) -> bytes:
    """Return what is at an address, without following it elsewhere.

    :raises OSError: it cannot be had, or is too large
    """
    import requests

    with requests.get(url, timeout=TIMEOUT, allow_redirects=False, stream=True) as response:
        if response.status_code != 200:
            raise OSError(f"the answer was {response.status_code}")
        content = b""
        for chunk in response.iter_content(8192):
            content += chunk
            if len(content) > MAX_BYTES:
                raise OSError(f"it is larger than {MAX_BYTES} bytes")
    return content


class Certificates:
    """The public keys of certificates by their address.

    :param fetch: gets a certificate
    :param clock: seconds that only go forward
    """

    def __init__(self, fetch: Fetch = fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Any | None]] = OrderedDict()

    def certificate(self, url: object) -> Any:
        """Return a certificate. May block for some seconds.

        :raises Rejected: the address is not Amazon's, or there is no certificate
        """
        if not isinstance(url, str) or not _CERTIFICATE.fullmatch(url):
            raise Rejected("the certificate's address is not one of Amazon SNS")
        with self._lock:
            until, certificate = self._kept.get(url, (0.0, None))
        if until <= self._clock():
            certificate = self._fetched(url)
        if certificate is None:
            raise Rejected("the certificate could not be had")
        return certificate

    def _fetched(self, url: str) -> Any | None:
        try:
            certificate = _parsed(self._fetch(url))
        except OSError:
            certificate = None
        with self._lock:
            self._kept[url] = (self._clock() + (KEEP if certificate else KEEP_FAILURE), certificate)
            self._kept.move_to_end(url)
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return certificate


def _parsed(pem: bytes) -> Any | None:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return certificate if isinstance(key, RSAPublicKey) and key.key_size >= MIN_KEY_BITS else None
