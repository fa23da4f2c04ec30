"""Lives of a database that may be closed, and orders to the relay."""
# ruff: noqa: E501 - one statement a table, with the table's own words

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema from the version before to this one."""
    op.add_column("site", sa.Column("place", sa.Text(), nullable=True))
    op.add_column("site", sa.Column("closed_code", sa.Text(), nullable=True))
    op.add_column("site", sa.Column("closed", sa.Text(), nullable=True))
    op.create_table_comment(
        "site",
        "local: lives of this database; the greatest first_number is now; place: oid of the log's table there; closed: why nothing may be written",
        existing_comment="local: lives of this database; the greatest first_number is now",
    )
    op.add_column("relay_floor", sa.Column("missing", sa.BigInteger(), nullable=True))
    op.add_column("relay_floor", sa.Column("stopped", sa.Text(), nullable=True))
    op.create_table_comment(
        "relay_floor",
        "local: up to where the log is known to be in the topic; missing: up to where it is not there any more; stopped: why the relay ended last",
        existing_comment="local: up to where the log is known to be in the topic",
    )
    op.create_table(
        "relay_order",
        sa.Column(
            "order_id", sa.BigInteger(), sa.Identity(always=True), nullable=False
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=True),
        sa.Column("keys", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("from_number", sa.BigInteger(), nullable=True),
        sa.Column("to_number", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("ordered_by", sa.Text(), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("order_id"),
        comment="local: what the relay shall send again, and how far it is; position: greatest change number, or target id, that was sent",
    )
    op.create_index(
        "relay_order_open",
        "relay_order",
        ["order_id"],
        unique=False,
        postgresql_where=sa.text("state in ('waiting', 'running')"),
    )


def downgrade() -> None:
    """Refuse: what was said is not given up; restore a backup instead."""
    raise NotImplementedError
