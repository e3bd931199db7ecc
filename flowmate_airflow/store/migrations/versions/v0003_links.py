"""The tables of links and tenants: who has linked what, how its tokens are renewed, and logins under way."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NAME = sa.String(250)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make them."""
    _renewals()
    _tenants()
    _linked()
    _logins()


def _names(*names: str, key: bool = False) -> "list[sa.Column[str]]":
    return [sa.Column(name, _NAME, primary_key=key, nullable=False) for name in names]


def _renewals() -> None:
    op.create_table(
        "flowmate_renewals",
        *_names("conn_id", key=True),
        *_names("status"),
        sa.Column("error", sa.Text),
        sa.Column("owner", _NAME),
        sa.Column("owned_until", _TIME),
        sa.Column("spending", sa.LargeBinary),
        sa.Column("spent_at", _TIME),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("next_at", _TIME),
        sa.Column("renewed_at", _TIME),
        sa.Column("renewals", sa.BigInteger, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
    )


def _tenants() -> None:
    op.create_table(
        "flowmate_tenants",
        *_names("tenant", key=True),
        sa.Column("config", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
    )
    op.create_table(
        "flowmate_tenant_flows",
        *_names("tenant", "flow", key=True),
        sa.Column("is_on", sa.Boolean, nullable=False),
        sa.Column("schedule", _NAME),
        sa.Column("next_at", _TIME),
        sa.Column("mapping", sa.LargeBinary),
        sa.Column("updated_at", _TIME, nullable=False),
    )
    op.create_table(
        "flowmate_tenant_turns",
        *_names("tenant", "flow", key=True),
        *_names("run_id"),
        sa.Column("taken_at", _TIME, nullable=False),
    )


def _linked() -> None:
    op.create_table(
        "flowmate_linked",
        *_names("tenant", "connector", key=True),
        *_names("conn_id", "method"),
        sa.Column("symlink", sa.LargeBinary),
        sa.Column("field_map", sa.LargeBinary),
        sa.Column("problem", sa.Text),
        sa.Column("checked_at", _TIME),
        sa.Column("linked_at", _TIME, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
    )
    op.create_index("ix_flowmate_linked_connector", "flowmate_linked", ["connector", "tenant"])
    op.create_index("ix_flowmate_linked_conn_id", "flowmate_linked", ["conn_id"])


def _logins() -> None:
    op.create_table(
        "flowmate_logins",
        sa.Column("state", sa.LargeBinary, primary_key=True),
        *_names("context", "tenant", "connector", "method"),
        sa.Column("browser", sa.LargeBinary, nullable=False),
        *_names("user"),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("is_encrypted", sa.Boolean, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False, index=True),
    )
    op.create_table(
        "flowmate_magic_links",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        *_names("tenant"),
        sa.Column("options", sa.LargeBinary, nullable=False),
        sa.Column("session", sa.LargeBinary),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("opened_at", _TIME),
        sa.Column("expires_at", _TIME, nullable=False, index=True),
    )
