"""The store's tables. What changes here needs a migration beside it; a test compares the two.

All begin with `flowmate_`, so that they can share a database with Airflow's. Values are JSON, compressed where that
helps (:mod:`flowmate_airflow.store.values`). Where texts of other systems are keys, a digest stands for them: they may
be longer than an index takes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, UniqueConstraint, text

from flowmate_airflow.store.columns import Exact, Name, Time

metadata = MetaData()


def _name(name: str, key: bool = True) -> Column[str]:
    return Column(name, Name, primary_key=key, nullable=False)


def _number() -> Column[int]:
    """Return a key that the database counts up; its table needs `sqlite_autoincrement`."""
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _some_rows(name: str, *columns: str, where: str) -> Index:
    """Return an index of those rows only that meet a condition without values, which both databases recognize."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


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
    _number(),
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

deliveries = Table(
    "flowmate_deliveries",
    metadata,
    _number(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # of what makes it the same delivery
    *(_name(name, key=False) for name in ("endpoint", "tenant")),
    Column("delivery_id", Exact),  # the sender's
    Column("event", Exact),
    Column("order_key", Name),
    Column("status", Name, nullable=False),
    Column("received_at", Time, nullable=False, index=True),
    Column("available_at", Time, nullable=False),
    *(Column(name, Name) for name in ("claim_flow", "claim_run", "claim_task")),
    Column("claimed_at", Time),
    Column("attempts", Integer, nullable=False),  # runs that failed on it
    Column("duplicates", Integer, nullable=False),  # how often it came again
    Column("error", Exact),
    Column("size", BigInteger, nullable=False),  # of the payload as JSON
    Column("is_encrypted", Boolean, nullable=False),
    Column("finished_at", Time),  # none: it is received or claimed
    Column("href", Exact),  # of the file with a large payload
    # Empty when it is in a file, none when it was purged. The last column: SQLite reads through it to what is behind.
    Column("payload", LargeBinary),
    Index("ix_flowmate_deliveries_place", "endpoint", "id", "tenant", "status"),
    _some_rows(
        "ix_flowmate_deliveries_open",
        *("status", "endpoint", "tenant", "id", "available_at", "received_at", "order_key"),
        where="finished_at IS NULL",
    ),
    _some_rows(
        "ix_flowmate_deliveries_order",
        *("endpoint", "tenant", "order_key", "status", "available_at", "id"),
        where="finished_at IS NULL AND order_key IS NOT NULL",
    ),
    _some_rows("ix_flowmate_deliveries_run", "claim_flow", "claim_run", where="claim_run IS NOT NULL"),
    _some_rows(
        "ix_flowmate_deliveries_kept",
        *("endpoint", "status", "finished_at"),
        where="finished_at IS NOT NULL AND payload IS NOT NULL",
    ),
    sqlite_autoincrement=True,
)

endpoints = Table(
    "flowmate_endpoints",
    metadata,
    *(_name("endpoint"), _name("tenant")),
    Column("token", LargeBinary, nullable=False),  # the last part of its address
    Column("previous", LargeBinary),  # the token before, until it is over
    Column("previous_until", Time),
    Column("learned", LargeBinary),  # the secret that a provider gave
    Column("is_encrypted", Boolean, nullable=False),
    Column("changed_at", Time, nullable=False),
)

replies = Table(
    "flowmate_replies",
    metadata,
    Column("delivery", BigInteger, primary_key=True, autoincrement=False),
    Column("status", Integer, nullable=False),
    _name("content_type", key=False),
    Column("body", LargeBinary, nullable=False),
    Column("replied_at", Time, nullable=False, index=True),
)

subscriptions = Table(
    "flowmate_subscriptions",
    metadata,
    *(_name("flow"), _name("step"), _name("tenant")),
    _name("connector", key=False),
    Column("connection", Name),
    _name("endpoint", key=False),
    Column("url", Exact, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of what was asked for
    _name("status", key=False),
    Column("external", LargeBinary),  # JSON of what the connector answered
    Column("secret", LargeBinary),
    Column("is_encrypted", Boolean, nullable=False),
    Column("error", Exact),
    Column("attempts", Integer, nullable=False),
    Column("expires_at", Time),
    Column("next_at", Time),
    Column("updated_at", Time, nullable=False),
)

outgoing = Table(
    "flowmate_outgoing",
    metadata,
    _number(),
    *(_name(name, key=False) for name in ("target", "event", "message_id")),
    Column("payload", LargeBinary, nullable=False),
    _name("status", key=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Time, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("finished_at", Time),
    Column("response_status", Integer),
    Column("error", Exact),
    Column("claimed_by", Name),
    Column("claimed_until", Time),
    UniqueConstraint("target", "message_id", name="uq_flowmate_outgoing_message"),
    Index("ix_flowmate_outgoing_next", "status", "next_at"),
    sqlite_autoincrement=True,
)

renewals = Table(
    "flowmate_renewals",
    metadata,
    _name("conn_id"),
    _name("status", key=False),  # "good", "needs_reauth", or "failed"
    Column("error", Exact),  # of the last try, for people
    Column("owner", Name),  # the process that renews just now
    Column("owned_until", Time),
    Column("spending", LargeBinary),  # digest of the credentials that it spends, or that the last try failed with
    Column("spent_at", Time),  # since when
    Column("failures", Integer, nullable=False),  # in a row
    Column("next_at", Time),  # no earlier try than this
    Column("renewed_at", Time),
    Column("renewals", BigInteger, nullable=False),
    Column("updated_at", Time, nullable=False),
)

tenants = Table(
    "flowmate_tenants",
    metadata,
    _name("tenant"),
    Column("config", LargeBinary, nullable=False),  # JSON
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
)

tenant_flows = Table(
    "flowmate_tenant_flows",
    metadata,
    *(_name("tenant"), _name("flow")),
    Column("is_on", Boolean, nullable=False),
    Column("schedule", Name),  # its own; none: the flow's
    Column("next_at", Time),  # when its own schedule is due
    Column("mapping", LargeBinary),  # JSON: its custom field mapping
    Column("updated_at", Time, nullable=False),
)

tenant_turns = Table(
    "flowmate_tenant_turns",
    metadata,
    *(_name("tenant"), _name("flow")),
    _name("run_id", key=False),  # whose turn it is
    Column("taken_at", Time, nullable=False),
)

linked = Table(
    "flowmate_linked",
    metadata,
    *(_name("tenant"), _name("connector")),
    _name("conn_id", key=False),  # of its Connection, or of the one whose credentials it uses
    _name("method", key=False),  # of the manifest's `auth`
    Column("symlink", LargeBinary),  # JSON of the tenant and connector whose credentials it uses
    Column("field_map", LargeBinary),  # JSON: which tables and fields it reads
    Column("problem", Exact),  # what the last check said; none: all is well
    Column("checked_at", Time),
    Column("linked_at", Time, nullable=False),  # last: perhaps with another account
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Index("ix_flowmate_linked_connector", "connector", "tenant"),
    Index("ix_flowmate_linked_conn_id", "conn_id"),
)

logins = Table(
    "flowmate_logins",
    metadata,
    Column("state", LargeBinary, primary_key=True),  # digest of what the provider sends back
    *(_name(name, key=False) for name in ("context", "tenant", "connector", "method")),
    Column("browser", LargeBinary, nullable=False),  # digest of the cookie of the browser that began
    _name("user", key=False),  # who began: an Airflow user, or a magic link
    Column("secret", LargeBinary, nullable=False),  # JSON: the verifier, what the form said, where it goes on
    Column("is_encrypted", Boolean, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False, index=True),
)

magic_links = Table(
    "flowmate_magic_links",
    metadata,
    Column("digest", LargeBinary, primary_key=True),  # of its token
    _name("tenant", key=False),
    Column("options", LargeBinary, nullable=False),  # JSON: connectors, where it goes on, who made it
    Column("session", LargeBinary),  # digest of the cookie of the browser that opened it
    Column("created_at", Time, nullable=False),
    Column("opened_at", Time),
    Column("expires_at", Time, nullable=False, index=True),
)
