"""Messages of exposurelog's API, and what butlers' registries hold."""
# ruff: noqa: E501 - one statement a table, with the table's own words

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema from the version before to this one."""
    op.create_table(
        "message",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("annotation_id", sa.Uuid(), nullable=False),
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("obs_id", sa.Text(), nullable=False),
        sa.Column("day_obs", sa.Integer(), nullable=True),
        sa.Column("seq_num", sa.Integer(), nullable=True),
        sa.Column("date_added", sa.DateTime(), nullable=False),
        sa.Column("date_invalidated", sa.DateTime(), nullable=True),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("message_id"),
        comment="what a run of revisions says about one exposure, as exposurelog shows it; kept: names and night are those of the row that it came from",
    )
    op.create_index(
        "message_added",
        "message",
        [sa.literal_column("date_added desc"), "message_id"],
        unique=False,
    )
    op.create_index("message_annotation", "message", ["annotation_id"], unique=False)
    op.create_index(
        "message_night",
        "message",
        [sa.literal_column("day_obs desc"), "message_id"],
        unique=False,
    )
    op.create_index(
        "message_obs_id",
        "message",
        [sa.literal_column("length(obs_id)"), sa.literal_column("left(obs_id, 256)")],
        unique=False,
    )
    op.create_index(
        "message_parent",
        "message",
        ["parent_id"],
        unique=False,
        postgresql_where=sa.text("parent_id is not null"),
    )
    op.create_index("message_target", "message", ["target_id"], unique=False)
    op.create_table(
        "registry",
        sa.Column(
            "registry_id", sa.SmallInteger(), sa.Identity(always=True), nullable=False
        ),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("instruments", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("instruments_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("registry_id"),
        sa.UniqueConstraint("uri"),
        comment="local: butlers that were asked, and the instruments that they had",
    )
    op.create_table(
        "registry_exposure",
        sa.Column(
            "registry_id", sa.SmallInteger(), autoincrement=False, nullable=False
        ),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("exposure_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("obs_id", sa.Text(), nullable=False),
        sa.Column("day_obs", sa.BigInteger(), nullable=True),
        sa.Column("seq_num", sa.BigInteger(), nullable=True),
        sa.Column("observation_type", sa.Text(), nullable=True),
        sa.Column("observation_reason", sa.Text(), nullable=True),
        sa.Column("group_name", sa.Text(), nullable=True),
        sa.Column("target_name", sa.Text(), nullable=True),
        sa.Column("science_program", sa.Text(), nullable=True),
        sa.Column("tracking_ra", sa.Double(), nullable=True),
        sa.Column("tracking_dec", sa.Double(), nullable=True),
        sa.Column("sky_angle", sa.Double(), nullable=True),
        sa.Column("timespan_begin", sa.DateTime(), nullable=True),
        sa.Column("timespan_end", sa.DateTime(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("registry_id", "instrument", "exposure_id"),
        comment="local: exposures as butlers have them; digest: of the record as it was last brought into the log, null where it was not",
    )
    op.create_index(
        "registry_exposure_night",
        "registry_exposure",
        ["registry_id", "instrument", "day_obs", "exposure_id"],
        unique=False,
    )
    op.create_index(
        "registry_exposure_obs_id",
        "registry_exposure",
        ["instrument", "obs_id"],
        unique=False,
    )
    op.create_table(
        "registry_reading",
        sa.Column(
            "registry_id", sa.SmallInteger(), autoincrement=False, nullable=False
        ),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("since_id", sa.BigInteger(), nullable=False),
        sa.Column("exposures_before", sa.BigInteger(), nullable=False),
        sa.Column("visits_before", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("swept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("registry_id", "instrument"),
        comment="local: how far an instrument was read: from since_id on again each time, what lies before only when its number changes, and now and then",
    )
    op.drop_index("revision_current_author", table_name="revision")
    op.create_index(
        "revision_current_author",
        "revision",
        [
            sa.literal_column("left(author, 256)"),
            "annotation_created_at",
            "annotation_id",
        ],
        unique=False,
        postgresql_where=sa.text("current_from is not null and current_to is null"),
    )
    op.alter_column(
        "revision",
        "level",
        existing_type=sa.SMALLINT(),
        type_=sa.Integer(),
        existing_nullable=False,
    )


def downgrade() -> None:
    """Refuse: what was said is not given up; restore a backup instead."""
    raise NotImplementedError
