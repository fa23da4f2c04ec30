"""Data-ID sets: versions, rows, releases, owners and drifts, as views of records."""
# ruff: noqa: E501 - one statement a table, with the table's own words

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema from the version before to this one."""
    op.create_table(
        "set_version",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("list_id", sa.Uuid(), nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("author_kind", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
        comment="one row a version of a data-ID set; the rest is in its record",
    )
    op.create_index("set_version_name", "set_version", ["name", "version"])
    op.create_index("set_version_subject", "set_version", ["subject"])
    op.create_index("set_version_list", "set_version", ["list_id"])
    op.create_table(
        "set_rows",
        sa.Column("list_id", sa.Uuid(), nullable=False),
        sa.Column("dimensions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("columns", sa.ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("list_id"),
        comment="one row a list of rows, named by its content; the rows are in its record",
    )
    op.create_table(
        "set_member",
        sa.Column("list_id", sa.Uuid(), nullable=False),
        sa.Column(
            "place", sa.Integer(), nullable=False, comment="from 0 on, by data ID"
        ),
        sa.Column("key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "place"),
        comment="which targets the rows of data-ID sets name",
    )
    op.create_index("set_member_key", "set_member", ["key", "list_id"])
    op.create_table(
        "set_release",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
        comment="which versions were released; the latest of a version holds",
    )
    op.create_index("set_release_name", "set_release", ["name"])
    op.create_table(
        "set_access",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("editors", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
        comment="who owns a data-ID set and who may edit it; the latest holds",
    )
    op.create_index("set_access_name", "set_access", ["name"])
    op.create_table(
        "set_drift",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
        comment="which released versions began to drift; the latest of a version holds",
    )
    op.create_index("set_drift_name", "set_drift", ["name"])


def downgrade() -> None:
    """Refuse: what was said is not given up; restore a backup instead."""
    raise NotImplementedError
