"""The tables of webhooks: what came in, the endpoints, the replies, the subscriptions, and what goes out."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NAME = sa.String(250)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make them."""
    _deliveries()
    _endpoints()
    _subscriptions()
    _outgoing()


def _number() -> "sa.Column[int]":
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True)


def _names(*names: str, key: bool = False) -> "list[sa.Column[str]]":
    return [sa.Column(name, _NAME, primary_key=key, nullable=False) for name in names]


def _deliveries() -> None:
    op.create_table(
        "flowmate_deliveries",
        _number(),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        *_names("endpoint", "tenant"),
        sa.Column("delivery_id", sa.Text),
        sa.Column("event", sa.Text),
        sa.Column("order_key", _NAME),
        sa.Column("status", _NAME, nullable=False),
        sa.Column("received_at", _TIME, nullable=False, index=True),
        sa.Column("available_at", _TIME, nullable=False),
        *(sa.Column(name, _NAME) for name in ("claim_flow", "claim_run", "claim_task")),
        sa.Column("claimed_at", _TIME),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("duplicates", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("is_encrypted", sa.Boolean, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.Column("href", sa.Text),
        sa.Column("payload", sa.LargeBinary),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_flowmate_deliveries_place", "flowmate_deliveries", ["endpoint", "id", "tenant", "status"])
    _some_rows(
        *("open", "status", "endpoint", "tenant", "id", "available_at", "received_at", "order_key"),
        where="finished_at IS NULL",
    )
    _some_rows(
        *("order", "endpoint", "tenant", "order_key", "status", "available_at", "id"),
        where="finished_at IS NULL AND order_key IS NOT NULL",
    )
    _some_rows("run", "claim_flow", "claim_run", where="claim_run IS NOT NULL")
    _some_rows("kept", "endpoint", "status", "finished_at", where="finished_at IS NOT NULL AND payload IS NOT NULL")


def _some_rows(name: str, *columns: str, where: str) -> None:
    op.create_index(
        f"ix_flowmate_deliveries_{name}",
        "flowmate_deliveries",
        list(columns),
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def _endpoints() -> None:
    op.create_table(
        "flowmate_endpoints",
        *_names("endpoint", "tenant", key=True),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("previous", sa.LargeBinary),
        sa.Column("previous_until", _TIME),
        sa.Column("learned", sa.LargeBinary),
        sa.Column("is_encrypted", sa.Boolean, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
    )
    op.create_table(
        "flowmate_replies",
        sa.Column("delivery", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("status", sa.Integer, nullable=False),
        *_names("content_type"),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("replied_at", _TIME, nullable=False, index=True),
    )


def _subscriptions() -> None:
    op.create_table(
        "flowmate_subscriptions",
        *_names("flow", "step", "tenant", key=True),
        *_names("connector"),
        sa.Column("connection", _NAME),
        *_names("endpoint"),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        *_names("status"),
        sa.Column("external", sa.LargeBinary),
        sa.Column("secret", sa.LargeBinary),
        sa.Column("is_encrypted", sa.Boolean, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("next_at", _TIME),
        sa.Column("updated_at", _TIME, nullable=False),
    )


def _outgoing() -> None:
    op.create_table(
        "flowmate_outgoing",
        _number(),
        *_names("target", "event", "message_id"),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        *_names("status"),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.Column("response_status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("claimed_by", _NAME),
        sa.Column("claimed_until", _TIME),
        sa.UniqueConstraint("target", "message_id", name="uq_flowmate_outgoing_message"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_flowmate_outgoing_next", "flowmate_outgoing", ["status", "next_at"])
