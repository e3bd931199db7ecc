"""What was decrypted before, for whoever reads the same rows every few seconds."""

from __future__ import annotations

from flowmate_airflow.store.encryption import decrypt


class Opened:
    """Decrypts only what it has not seen in the reading before. It is one thread's own."""

    def __init__(self) -> None:
        self._before: dict[bytes, bytes] = {}
        self._now: dict[bytes, bytes] = {}

    def begin(self) -> None:
        """Begin another reading: what does not come up in it is forgotten with the next one."""
        self._before, self._now = self._now, {}

    def decrypt(self, data: bytes, is_encrypted: bool, what: str) -> bytes:
        """See :func:`flowmate_airflow.store.encryption.decrypt`."""
        if not is_encrypted:
            return data
        found = self._before.get(data) or self._now.get(data)
        if found is None:
            found = decrypt(data, is_encrypted, what)
        self._now[data] = found
        return found
