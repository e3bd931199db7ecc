"""What a provider answers to a login, as a grant and what else it tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowmate_airflow.auth.grants import Grant


@dataclass(frozen=True, slots=True)
class Login:
    """What a login has brought.

    :param metadata: what else was told, by the part of the Connection that keeps it, such as `extra.instance_url`
    """

    grant: Grant
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
