"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NAME = sa.String(250)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make them."""
    _states()
    _dead_letters()
    _results()
    _links()
    op.create_table(
        "flowmate_catalogs",
        *_names("tenant", "connector", "connection", "digest", key=True),
        sa.Column("streams", sa.LargeBinary, nullable=False),
        sa.Column("saved_at", _TIME, nullable=False),
        sa.Column("previous", sa.LargeBinary),
        sa.Column("previous_at", _TIME),
    )
    op.create_table(
        "flowmate_changed_secrets",
        *_names("tenant", "conn_id", "connector", key=True),
        sa.Column("original", _NAME, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("is_encrypted", sa.Boolean, nullable=False),
        sa.Column("saved_at", _TIME, nullable=False),
    )


def _names(*names: str, key: bool = False) -> "list[sa.Column[str]]":
    return [sa.Column(name, _NAME, primary_key=key, nullable=False) for name in names]


def _states() -> None:
    op.create_table(
        "flowmate_states",
        *_names("tenant", "flow", "step", key=True),
        sa.Column("state", sa.LargeBinary),
        sa.Column("run_id", _NAME, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
    )
    op.create_table(
        "flowmate_held_states",
        *_names("tenant", "flow", "step", "run_id", key=True),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("held_at", _TIME, nullable=False, index=True),
    )


def _dead_letters() -> None:
    op.create_table(
        "flowmate_dead_letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        *_names("flow", "step", "tenant", "run_id"),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("failure_type", _NAME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False, index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("claimed_by", _NAME, index=True),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_flowmate_dead_letters_step", "flowmate_dead_letters", ["flow", "step", "tenant", "id"])


def _results() -> None:
    op.create_table(
        "flowmate_results",
        sa.Column("task", sa.LargeBinary, primary_key=True),
        sa.Column("message", sa.LargeBinary, primary_key=True),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("remote_id", sa.Text),
        sa.Column("noted_at", _TIME, nullable=False, index=True),
    )
    op.create_table(
        "flowmate_partials",
        sa.Column("task", sa.LargeBinary, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("noted_at", _TIME, nullable=False, index=True),
    )


def _links() -> None:
    op.create_table(
        "flowmate_links",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        *_names("tenant", "connector", "connection"),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("scope", sa.LargeBinary, nullable=False, index=True),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("remote_id", sa.Text, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
    )
