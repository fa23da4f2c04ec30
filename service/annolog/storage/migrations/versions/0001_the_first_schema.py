"""The first schema."""
# ruff: noqa: E501, PLR0915 - one statement a table, with the table's own words

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Bring the schema from the version before to this one."""
    op.create_table(
        "change",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("instruments", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("days", sa.ARRAY(sa.Integer()), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=True),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        comment="this site's order of records; without gaps; insert-only",
    )
    op.create_index("change_committed_at", "change", ["committed_at"], unique=False)
    op.create_index("change_record", "change", ["record_id"], unique=False)
    op.create_table(
        "checked",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("day_obs", sa.Integer(), nullable=False),
        sa.Column("seq_first", sa.Integer(), nullable=True),
        sa.Column("seq_last", sa.Integer(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("revokes", sa.Uuid(), nullable=True),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
        comment="who looked at which part of a night, for what",
    )
    op.create_index("checked_night", "checked", ["instrument", "day_obs"], unique=False)
    op.create_index(
        "checked_revokes",
        "checked",
        ["revokes"],
        unique=False,
        postgresql_where=sa.text("revokes is not null"),
    )
    op.create_table(
        "entry",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entry_key", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("fields", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
        comment="vocabularies, instruments, policies, aliases, same_as: the latest holds",
    )
    op.create_index("entry_key", "entry", ["kind", "entry_key", "clock"], unique=False)
    op.create_index("entry_number", "entry", ["number"], unique=False)
    op.create_table(
        "exposure",
        sa.Column("target_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("day_obs", sa.Integer(), nullable=True),
        sa.Column("seq_num", sa.Integer(), nullable=True),
        sa.Column("exposure_id", sa.BigInteger(), nullable=True),
        sa.Column("obs_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("begin_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exposure_time", sa.Integer(), nullable=True, comment="milliseconds"),
        sa.Column("observation_type", sa.Text(), nullable=True),
        sa.Column("fields", postgresql.JSONB(), nullable=False),
        sa.Column("contradictions", postgresql.JSONB(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("target_id"),
        comment="what is known of an exposure: its facts merged",
    )
    op.create_index(
        "exposure_contradicted",
        "exposure",
        ["instrument", "day_obs"],
        unique=False,
        postgresql_where=sa.text("contradictions <> '{}'::jsonb"),
    )
    op.create_index(
        "exposure_night",
        "exposure",
        ["instrument", "day_obs", "seq_num", "target_id"],
        unique=False,
    )
    op.create_table(
        "exposure_fact",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("fields", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
        comment="one row a fact that a source gave about an exposure",
    )
    op.create_index(
        "exposure_fact_target", "exposure_fact", ["target_id", "clock"], unique=False
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        comment="local: which process may do what only one may do",
    )
    op.create_table(
        "record",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("origin_number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("redacted_by", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("record_id"),
        comment="what was said: canonical bytes and the SHA-256 of the bytes as first said",
    )
    op.create_table(
        "redaction",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("revision_id", "record_id"),
        comment="which revisions lost their text and links by whose order",
    )
    op.create_table(
        "refresh",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("after_id", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        comment="local: how far the states were worked out anew after a policy, alias ...",
    )
    op.create_table(
        "relay_floor",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("topic"),
        comment="local: up to where the log is known to be in the topic",
    )
    op.create_table(
        "review",
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("annotation_id", sa.Uuid(), nullable=False),
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("list_id", sa.Uuid(), nullable=True),
        sa.Column("request_digest", sa.LargeBinary(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("review_id"),
        comment="one row a review",
    )
    op.create_index(
        "review_annotation", "review", ["annotation_id", "clock"], unique=False
    )
    op.create_table(
        "revision",
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("annotation_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("author_kind", sa.Text(), nullable=False),
        sa.Column("voter", sa.Text(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("check", sa.Text(), nullable=True),
        sa.Column("flag", sa.Text(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("reply_to", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("observed_begin", sa.DateTime(timezone=True), nullable=True),
        sa.Column("observed_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("list_id", sa.Uuid(), nullable=True),
        sa.Column("target_count", sa.Integer(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=True),
        sa.Column("day_obs", sa.Integer(), nullable=True),
        sa.Column("seq_num", sa.Integer(), nullable=True),
        sa.Column("day_last", sa.Integer(), nullable=True),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("request_digest", sa.LargeBinary(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("current_from", sa.BigInteger(), nullable=True),
        sa.Column("current_to", sa.BigInteger(), nullable=True),
        sa.Column("annotation_created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.PrimaryKeyConstraint("revision_id"),
        comment="one row a revision; current while current_from <= now < current_to",
    )
    op.create_index(
        "revision_annotation", "revision", ["annotation_id", "clock"], unique=False
    )
    op.create_index(
        "revision_current_author",
        "revision",
        ["author", "annotation_created_at", "annotation_id"],
        unique=False,
        postgresql_where=sa.text("current_from is not null and current_to is null"),
    )
    op.create_index(
        "revision_current_changed",
        "revision",
        ["created_at", "annotation_id"],
        unique=False,
        postgresql_where=sa.text("current_from is not null and current_to is null"),
    )
    op.create_index(
        "revision_current_check",
        "revision",
        ["check", "annotation_created_at", "annotation_id"],
        unique=False,
        postgresql_where=sa.text(
            'current_from is not null and current_to is null and "check" is not null'
        ),
    )
    op.create_index(
        "revision_current_created",
        "revision",
        ["annotation_created_at", "annotation_id"],
        unique=False,
        postgresql_where=sa.text("current_from is not null and current_to is null"),
    )
    op.create_index(
        "revision_current_id",
        "revision",
        ["annotation_id"],
        unique=False,
        postgresql_where=sa.text("current_from is not null and current_to is null"),
    )
    op.create_index(
        "revision_current_night",
        "revision",
        ["day_obs", "seq_num", "annotation_id"],
        unique=False,
        postgresql_where=sa.text("current_from is not null and current_to is null"),
    )
    op.create_index(
        "revision_current_nights",
        "revision",
        ["day_obs", "seq_num", "annotation_id"],
        unique=False,
        postgresql_where=sa.text(
            "current_from is not null and current_to is null and day_last <> day_obs"
        ),
    )
    op.create_index("revision_number", "revision", ["number"], unique=False)
    op.create_index(
        "revision_reply",
        "revision",
        ["reply_to", "annotation_created_at", "annotation_id"],
        unique=False,
        postgresql_where=sa.text("reply_to is not null"),
    )
    op.create_index(
        "revision_tags", "revision", ["tags"], unique=False, postgresql_using="gin"
    )
    op.create_index(
        "revision_words", "revision", ["words"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "said",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.BigInteger(), nullable=False),
        sa.Column("from_number", sa.BigInteger(), nullable=False),
        sa.Column("to_number", sa.BigInteger(), nullable=True),
        sa.Column("annotation_id", sa.Uuid(), nullable=False),
        sa.Column("revision_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.SmallInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("voter", sa.Text(), nullable=False),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("flag", sa.Text(), nullable=True),
        sa.Column("vote_id", sa.Uuid(), nullable=False),
        sa.Column("vote_clock", sa.BigInteger(), nullable=False),
        sa.Column("contested", sa.SmallInteger(), nullable=True),
        sa.Column("tags", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=True),
        sa.Column("day_obs", sa.Integer(), nullable=True),
        sa.Column("seq_num", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("source_id", "target_id", "from_number"),
        comment="an interval in which a statement (or a confirming review) counts",
    )
    op.create_index("said_annotation", "said", ["annotation_id"], unique=False)
    op.create_index(
        "said_now_flag",
        "said",
        ["instrument", "flag", "day_obs"],
        unique=False,
        postgresql_where=sa.text("to_number is null and flag is not null"),
    )
    op.create_index(
        "said_now_night",
        "said",
        ["instrument", "day_obs", "seq_num", "annotation_id"],
        unique=False,
        postgresql_where=sa.text("to_number is null"),
    )
    op.create_index(
        "said_now_target",
        "said",
        ["target_id"],
        unique=False,
        postgresql_where=sa.text("to_number is null"),
    )
    op.create_index("said_target", "said", ["target_id", "from_number"], unique=False)
    op.create_table(
        "site",
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("first_number", sa.BigInteger(), nullable=False),
        sa.Column("system_identifier", sa.Text(), nullable=False),
        sa.Column("timeline", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("incarnation"),
        comment="local: lives of this database; the greatest first_number is now",
    )
    op.create_table(
        "target",
        sa.Column(
            "target_id", sa.BigInteger(), sa.Identity(always=True), nullable=False
        ),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("class_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=True),
        sa.Column("day_obs", sa.Integer(), nullable=True),
        sa.Column("seq_num", sa.Integer(), nullable=True),
        sa.Column("exposure_id", sa.BigInteger(), nullable=True),
        sa.Column("detector", sa.Integer(), nullable=True),
        sa.Column("dataset_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("target_id"),
        sa.UniqueConstraint("key"),
        comment="what may be spoken of; a row without statements is invisible",
    )
    op.create_index("target_class", "target", ["class_id"], unique=False)
    op.create_index(
        "target_dataset",
        "target",
        ["dataset_id"],
        unique=False,
        postgresql_where=sa.text("dataset_id is not null"),
    )
    op.create_index(
        "target_exposure", "target", ["instrument", "exposure_id"], unique=False
    )
    op.create_index(
        "target_night", "target", ["instrument", "day_obs", "seq_num"], unique=False
    )
    op.create_table(
        "target_list",
        sa.Column("list_id", sa.Uuid(), nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("list_id"),
        comment="lists of more than 16 targets, named by the hash of their sorted keys",
    )
    op.create_table(
        "target_name",
        sa.Column("instrument", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("target_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instrument", "name", "target_id"),
        comment="obs_ids by which an exposure was named or announced",
    )
    op.create_index("target_name_target", "target_name", ["target_id"], unique=False)
    op.create_table(
        "target_state",
        sa.Column("target_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("flag", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("outvoted", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("disputed", sa.Boolean(), nullable=False),
        sa.Column("bots_differ", sa.Boolean(), nullable=False),
        sa.Column("follow_ups", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("tags", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("notes", sa.Integer(), nullable=False),
        sa.Column("empty", sa.Boolean(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.BigInteger(), nullable=False),
        sa.Column("instrument", sa.Text(), nullable=True),
        sa.Column("day_obs", sa.Integer(), nullable=True),
        sa.Column("seq_num", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("target_id"),
        comment="what now holds for a target (the least key of those joined)",
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "target_state_disputed",
        "target_state",
        ["instrument", "day_obs"],
        unique=False,
        postgresql_where=sa.text("disputed"),
    )
    op.create_index(
        "target_state_flag",
        "target_state",
        ["flag", "instrument", "day_obs"],
        unique=False,
        postgresql_where=sa.text("flag is not null"),
    )
    op.create_index(
        "target_state_kind",
        "target_state",
        ["kind", "target_id"],
        unique=False,
        postgresql_where=sa.text("kind not in ('exposure', 'detector', 'dataset')"),
    )
    op.create_index(
        "target_state_night",
        "target_state",
        ["instrument", "day_obs", "seq_num", "target_id"],
        unique=False,
    )
    op.create_index("target_state_number", "target_state", ["number"], unique=False)
    op.create_index(
        "target_state_tags",
        "target_state",
        ["tags"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "token",
        sa.Column("token_id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("instruments", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("delegate", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("token_id"),
        comment="local: annolog's own tokens, hashed",
    )
    op.create_table(
        "visit_exposure",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("visit_key", sa.Text(), nullable=False),
        sa.Column("exposure_key", sa.Text(), nullable=False),
        sa.Column("clock", sa.BigInteger(), nullable=False),
        sa.Column("from_number", sa.BigInteger(), nullable=False),
        sa.Column("to_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("record_id", "exposure_key"),
        comment="which exposures a visit is made of (the latest definition is open)",
    )
    op.create_index(
        "visit_exposure_exposure", "visit_exposure", ["exposure_key"], unique=False
    )
    op.create_index(
        "visit_exposure_visit", "visit_exposure", ["visit_key"], unique=False
    )
    op.create_table(
        "waiting",
        sa.Column("list_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "record_id"),
        comment="local: statements whose list of targets has not come yet",
    )


def downgrade() -> None:
    """Refuse: what was said is not given up; restore a backup instead."""
    raise NotImplementedError
