"""The store's tables. What changes here needs a migration beside it; a test compares the two.

All begin with `flowmate_`, so that they can share a database with Airflow's. Values are JSON, compressed where that
helps (:mod:`flowmate_airflow.store.values`). Where texts of other systems are keys, a digest stands for them: they may
be longer than an index takes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table

from flowmate_airflow.store.columns import Exact, Name, Time

metadata = MetaData()


def _name(name: str, key: bool = True) -> Column[str]:
    return Column(name, Name, primary_key=key, nullable=False)


states = Table(
    "flowmate_states",
    metadata,
    *(_name("tenant"), _name("flow"), _name("step")),
    Column("state", LargeBinary),  # none: it was reset
    Column("run_id", Name, nullable=False),
    Column("generation", BigInteger, nullable=False),  # how often it was set or reset by hand
    Column("updated_at", Time, nullable=False),
)

held_states = Table(
    "flowmate_held_states",
    metadata,
    *(_name("tenant"), _name("flow"), _name("step"), _name("run_id")),
    Column("state", LargeBinary, nullable=False),
    Column("generation", BigInteger, nullable=False),  # of the state that the run began with
    Column("held_at", Time, nullable=False, index=True),
)

dead_letters = Table(
    "flowmate_dead_letters",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("digest", LargeBinary, nullable=False, unique=True),  # flow, step, tenant, run_id, message_id
    *(_name(name, key=False) for name in ("flow", "step", "tenant", "run_id")),
    Column("message_id", Exact, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),  # of the message as JSON
    Column("error", Exact, nullable=False),
    Column("failure_type", Name, nullable=False),
    Column("created_at", Time, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", Name, index=True),  # the run that replays it
    Index("ix_flowmate_dead_letters_step", "flow", "step", "tenant", "id"),
    sqlite_autoincrement=True,  # an id is never given twice
)

results = Table(
    "flowmate_results",
    metadata,
    Column("task", LargeBinary, primary_key=True),  # flow, run_id, step, map_index, tenant
    Column("message", LargeBinary, primary_key=True),  # its id
    Column("message_id", Exact, nullable=False),
    Column("remote_id", Exact),
    Column("noted_at", Time, nullable=False, index=True),
)

partials = Table(
    "flowmate_partials",
    metadata,
    Column("task", LargeBinary, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("noted_at", Time, nullable=False, index=True),
)

links = Table(
    "flowmate_links",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # the scope and external_id
    *(_name(name, key=False) for name in ("tenant", "connector", "connection")),
    Column("stream", Exact, nullable=False),
    Column("scope", LargeBinary, nullable=False, index=True),  # tenant, connector, connection, stream
    Column("external_id", Exact, nullable=False),
    Column("remote_id", Exact, nullable=False),
    Column("updated_at", Time, nullable=False),
)

catalogs = Table(
    "flowmate_catalogs",
    metadata,
    *(_name("tenant"), _name("connector"), _name("connection"), _name("digest")),
    Column("streams", LargeBinary, nullable=False),
    Column("saved_at", Time, nullable=False),
    Column("previous", LargeBinary),
    Column("previous_at", Time),
)

changed_secrets = Table(
    "flowmate_changed_secrets",
    metadata,
    *(_name("tenant"), _name("conn_id"), _name("connector")),
    Column("original", Name, nullable=False),  # digest of the credentials as the Connection has them
    Column("secret", LargeBinary, nullable=False),
    Column("is_encrypted", Boolean, nullable=False),
    Column("saved_at", Time, nullable=False),
)
