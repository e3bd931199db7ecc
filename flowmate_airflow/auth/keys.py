"""Private keys and certificates that people have put into a Connection, as PEM."""

from __future__ import annotations

from flowmate_airflow.auth.errors import LoginError


def private_key(text: str | None, where: str) -> str:
    r"""Return a private key with lines of its own, also where somebody has copied them as `\n` out of JSON.

    :param where: it should be, for errors
    :raises LoginError: there is none, or one with a passphrase, which a library would ask for on the terminal
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = _lines(text)
    if not key:
        raise LoginError(f"there is no private key: it is {where}, as PEM")
    try:
        load_pem_private_key(key.encode("ascii"), None)
    except Exception as error:  # whatever the library finds wrong; its texts may show some of it
        raise LoginError(f"{where} is no private key without a passphrase, as PEM ({type(error).__name__})") from None
    return key


def certificate(text: str | None, where: str) -> str:
    """Return a certificate, perhaps with those that stand behind it; likewise.

    :param where: it should be, for errors
    :raises LoginError: there is none
    """
    from cryptography.x509 import load_pem_x509_certificates

    chain = _lines(text)
    try:
        load_pem_x509_certificates(chain.encode("ascii"))
    except Exception as error:  # whatever the library finds wrong
        raise LoginError(f"{where} is no certificate, as PEM ({type(error).__name__})") from None
    return chain


def _lines(text: str | None) -> str:
    found = (text or "").strip()
    return found.replace("\\n", "\n") if "\n" not in found else found
