"""Every table of annolog, once.

Three sorts live here. **Records** (`record`, `target_list`) are what was said: the
same bytes at every site, insert-only. **The log** (`change`) is this site's order of
them. Everything else up to the line "local" is a **view** that can be rebuilt from
the records; the tables below that line never travel to another site.

Columns named `*_number` and `number` are change numbers of this site. Intervals of
numbers are half-open: `from_number <= n < to_number`, and `to_number` null means
"until now".
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

metadata = MetaData()
"""All tables; alembic compares the database with it."""

MOMENT = DateTime(timezone=True)
"""The one type of a moment: UTC, microseconds."""

TAI_MOMENT = DateTime()
"""A moment of exposurelog's API: TAI without a zone, microseconds."""

_CURRENT = text("current_from is not null and current_to is null")
"""What is true of a revision that holds now."""

# ------------------------------------------------------------------ records

record = Table(
    "record",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("incarnation", Text, nullable=False),
    Column("origin_number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("redacted_by", Uuid),
    comment="what was said: canonical bytes and the SHA-256 of the bytes as first said",
)

target_list = Table(
    "target_list",
    metadata,
    Column("list_id", Uuid, primary_key=True),
    Column("keys", LargeBinary, nullable=False),
    comment="lists of more than 16 targets, named by the hash of their sorted keys",
)

# ---------------------------------------------------------------- the log

change = Table(
    "change",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("record_id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("instruments", ARRAY(Text), nullable=False),
    Column("days", ARRAY(Integer), nullable=False),
    Column("detail", LargeBinary),
    Column("committed_at", MOMENT, nullable=False),
    Index("change_committed_at", "committed_at"),
    Index("change_record", "record_id"),
    comment="this site's order of records; without gaps; insert-only",
)

# ------------------------------------------------------------------- views

revision = Table(
    "revision",
    metadata,
    Column("revision_id", Uuid, primary_key=True),
    Column("annotation_id", Uuid, nullable=False),
    Column("parent_id", Uuid),
    Column("clock", BigInteger, nullable=False),
    Column("operation", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("voter", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("check", Text),
    Column("flag", Text),
    Column("tags", ARRAY(Text), nullable=False),
    Column("level", Integer, nullable=False),
    Column("reply_to", Uuid),
    Column("created_at", MOMENT, nullable=False),
    Column("observed_begin", MOMENT),
    Column("observed_end", MOMENT),
    Column("list_id", Uuid),
    Column("target_count", Integer, nullable=False),
    Column("instrument", Text),
    Column("day_obs", Integer),
    Column("seq_num", Integer),
    Column("day_last", Integer),
    Column("counted", Boolean, nullable=False),
    Column("request_digest", LargeBinary),
    Column("number", BigInteger, nullable=False),
    Column("current_from", BigInteger),
    Column("current_to", BigInteger),
    Column("annotation_created_at", MOMENT, nullable=False),
    Column("words", TSVECTOR, nullable=False),
    Index("revision_annotation", "annotation_id", "clock"),
    Index("revision_number", "number"),
    Index(
        "revision_current_created",
        "annotation_created_at",
        "annotation_id",
        postgresql_where=_CURRENT,
    ),
    Index(
        "revision_current_changed",
        "created_at",
        "annotation_id",
        postgresql_where=_CURRENT,
    ),
    Index(
        "revision_current_id",
        "annotation_id",
        postgresql_where=_CURRENT,
    ),
    Index(
        "revision_current_author",
        text("left(author, 256)"),
        "annotation_created_at",
        "annotation_id",
        postgresql_where=_CURRENT,
    ),
    Index(
        "revision_current_check",
        "check",
        "annotation_created_at",
        "annotation_id",
        postgresql_where=text(f'{_CURRENT.text} and "check" is not null'),
    ),
    Index(
        "revision_current_nights",
        "day_obs",
        "seq_num",
        "annotation_id",
        postgresql_where=text(f"{_CURRENT.text} and day_last <> day_obs"),
    ),
    Index(
        "revision_current_night",
        "day_obs",
        "seq_num",
        "annotation_id",
        postgresql_where=_CURRENT,
    ),
    Index(
        "revision_reply",
        "reply_to",
        "annotation_created_at",
        "annotation_id",
        postgresql_where=text("reply_to is not null"),
    ),
    Index("revision_tags", "tags", postgresql_using="gin"),
    Index("revision_words", "words", postgresql_using="gin"),
    comment="one row a revision; current while current_from <= now < current_to",
)

target = Table(
    "target",
    metadata,
    Column("target_id", BigInteger, Identity(always=True), primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("class_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("instrument", Text),
    Column("day_obs", Integer),
    Column("seq_num", Integer),
    Column("exposure_id", BigInteger),
    Column("detector", Integer),
    Column("dataset_id", Uuid),
    Index("target_night", "instrument", "day_obs", "seq_num"),
    Index("target_exposure", "instrument", "exposure_id"),
    Index(
        "target_dataset",
        "dataset_id",
        postgresql_where=text("dataset_id is not null"),
    ),
    Index("target_class", "class_id"),
    comment="what may be spoken of; a row without statements is invisible",
)

target_name = Table(
    "target_name",
    metadata,
    Column("instrument", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("target_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("instrument", "name", "target_id"),
    Index("target_name_target", "target_id"),
    comment="obs_ids by which an exposure was named or announced",
)

said = Table(
    "said",
    metadata,
    Column("source_id", Uuid, nullable=False),
    Column("target_id", BigInteger, nullable=False),
    Column("from_number", BigInteger, nullable=False),
    Column("to_number", BigInteger),
    Column("annotation_id", Uuid, nullable=False),
    Column("revision_id", Uuid, nullable=False),
    Column("ordinal", SmallInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("voter", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("flag", Text),
    Column("vote_id", Uuid, nullable=False),
    Column("vote_clock", BigInteger, nullable=False),
    Column("contested", SmallInteger),
    Column("tags", ARRAY(Text), nullable=False),
    Column("instrument", Text),
    Column("day_obs", Integer),
    Column("seq_num", Integer),
    PrimaryKeyConstraint("source_id", "target_id", "from_number"),
    Index(
        "said_now_target",
        "target_id",
        postgresql_where=text("to_number is null"),
    ),
    Index(
        "said_now_night",
        "instrument",
        "day_obs",
        "seq_num",
        "annotation_id",
        postgresql_where=text("to_number is null"),
    ),
    Index(
        "said_now_flag",
        "instrument",
        "flag",
        "day_obs",
        postgresql_where=text("to_number is null and flag is not null"),
    ),
    Index("said_annotation", "annotation_id"),
    Index("said_target", "target_id", "from_number"),
    comment="an interval in which a statement (or a confirming review) counts",
)

review = Table(
    "review",
    metadata,
    Column("review_id", Uuid, primary_key=True),
    Column("annotation_id", Uuid, nullable=False),
    Column("revision_id", Uuid, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("list_id", Uuid),
    Column("request_digest", LargeBinary),
    Column("number", BigInteger, nullable=False),
    Index("review_annotation", "annotation_id", "clock"),
    comment="one row a review",
)

target_state = Table(
    "target_state",
    metadata,
    Column("target_id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("flag", Text),
    Column("decided_by", ARRAY(Uuid), nullable=False),
    Column("outvoted", ARRAY(Uuid), nullable=False),
    Column("disputed", Boolean, nullable=False),
    Column("bots_differ", Boolean, nullable=False),
    Column("follow_ups", ARRAY(Uuid), nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("notes", Integer, nullable=False),
    Column("empty", Boolean, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("basis", BigInteger, nullable=False),
    Column("instrument", Text),
    Column("day_obs", Integer),
    Column("seq_num", Integer),
    Index("target_state_number", "number"),
    Index("target_state_night", "instrument", "day_obs", "seq_num", "target_id"),
    Index(
        "target_state_flag",
        "flag",
        "instrument",
        "day_obs",
        postgresql_where=text("flag is not null"),
    ),
    Index(
        "target_state_disputed",
        "instrument",
        "day_obs",
        postgresql_where=text("disputed"),
    ),
    Index("target_state_tags", "tags", postgresql_using="gin"),
    Index(
        "target_state_kind",
        "kind",
        "target_id",
        postgresql_where=text("kind not in ('exposure', 'detector', 'dataset')"),
    ),
    postgresql_with={"fillfactor": 70},
    comment="what now holds for a target (the least key of those joined)",
)

exposure_fact = Table(
    "exposure_fact",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("target_id", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("fields", JSONB, nullable=False),
    Index("exposure_fact_target", "target_id", "clock"),
    comment="one row a fact that a source gave about an exposure",
)

exposure = Table(
    "exposure",
    metadata,
    Column("target_id", BigInteger, primary_key=True, autoincrement=False),
    Column("instrument", Text, nullable=False),
    Column("day_obs", Integer),
    Column("seq_num", Integer),
    Column("exposure_id", BigInteger),
    Column("obs_id", Text),
    Column("state", Text, nullable=False),
    Column("begin_at", MOMENT),
    Column("end_at", MOMENT),
    Column("exposure_time", Integer, comment="milliseconds"),
    Column("observation_type", Text),
    Column("fields", JSONB, nullable=False),
    Column("contradictions", JSONB, nullable=False),
    Column("number", BigInteger, nullable=False),
    Index("exposure_night", "instrument", "day_obs", "seq_num", "target_id"),
    Index(
        "exposure_contradicted",
        "instrument",
        "day_obs",
        postgresql_where=text("contradictions <> '{}'::jsonb"),
    ),
    comment="what is known of an exposure: its facts merged",
)

visit_exposure = Table(
    "visit_exposure",
    metadata,
    Column("record_id", Uuid, nullable=False),
    Column("visit_key", Text, nullable=False),
    Column("exposure_key", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("from_number", BigInteger, nullable=False),
    Column("to_number", BigInteger),
    PrimaryKeyConstraint("record_id", "exposure_key"),
    Index("visit_exposure_visit", "visit_key"),
    Index("visit_exposure_exposure", "exposure_key"),
    comment="which exposures a visit is made of (the latest definition is open)",
)

entry = Table(
    "entry",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("entry_key", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("fields", JSONB, nullable=False),
    Index("entry_key", "kind", "entry_key", "clock"),
    Index("entry_number", "number"),
    comment="vocabularies, instruments, policies, aliases, same_as: the latest holds",
)

checked = Table(
    "checked",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("instrument", Text, nullable=False),
    Column("day_obs", Integer, nullable=False),
    Column("seq_first", Integer),
    Column("seq_last", Integer),
    Column("tags", ARRAY(Text), nullable=False),
    Column("author", Text, nullable=False),
    Column("revokes", Uuid),
    Column("clock", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Index("checked_night", "instrument", "day_obs"),
    Index("checked_revokes", "revokes", postgresql_where=text("revokes is not null")),
    comment="who looked at which part of a night, for what",
)

set_version = Table(
    "set_version",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("list_id", Uuid, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("as_of", BigInteger),
    Column("author", Text, nullable=False),
    Column("author_kind", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("number", BigInteger, nullable=False),
    Index("set_version_name", "name", "version"),
    Index("set_version_subject", "subject"),
    Index("set_version_list", "list_id"),
    comment="one row a version of a data-ID set; the rest is in its record",
)

set_rows = Table(
    "set_rows",
    metadata,
    Column("list_id", Uuid, primary_key=True),
    Column("dimensions", ARRAY(Text), nullable=False),
    Column("columns", ARRAY(Text), nullable=False),
    comment="one row a list of rows, named by its content; the rows are in its record",
)

set_member = Table(
    "set_member",
    metadata,
    Column("list_id", Uuid, nullable=False),
    Column("place", Integer, nullable=False, comment="from 0 on, by data ID"),
    Column("key", Text, nullable=False),
    PrimaryKeyConstraint("list_id", "place"),
    Index("set_member_key", "key", "list_id"),
    comment="which targets the rows of data-ID sets name",
)

set_release = Table(
    "set_release",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("number", BigInteger, nullable=False),
    Index("set_release_name", "name"),
    comment="which versions were released; the latest of a version holds",
)

set_access = Table(
    "set_access",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("editors", ARRAY(Text), nullable=False),
    Column("author", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Index("set_access_name", "name"),
    comment="who owns a data-ID set and who may edit it; the latest holds",
)

set_drift = Table(
    "set_drift",
    metadata,
    Column("record_id", Uuid, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("number", BigInteger, nullable=False),
    Index("set_drift_name", "name"),
    comment="which released versions began to drift; the latest of a version holds",
)

redaction = Table(
    "redaction",
    metadata,
    Column("record_id", Uuid, nullable=False),
    Column("revision_id", Uuid, nullable=False),
    PrimaryKeyConstraint("revision_id", "record_id"),
    comment="which revisions lost their text and links by whose order",
)

message = Table(
    "message",
    metadata,
    Column("message_id", Uuid, primary_key=True),
    Column("annotation_id", Uuid, nullable=False),
    Column("revision_id", Uuid, nullable=False),
    Column("target_id", BigInteger, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("instrument", Text, nullable=False),
    Column("obs_id", Text, nullable=False),
    Column("day_obs", Integer),
    Column("seq_num", Integer),
    Column("date_added", TAI_MOMENT, nullable=False),
    Column("date_invalidated", TAI_MOMENT),
    Column("parent_id", Uuid),
    Column("kept", Boolean, nullable=False),
    Index("message_added", text("date_added desc"), "message_id"),
    Index("message_night", text("day_obs desc"), "message_id"),
    Index("message_obs_id", text("length(obs_id)"), text("left(obs_id, 256)")),
    Index("message_target", "target_id"),
    Index("message_annotation", "annotation_id"),
    Index(
        "message_parent", "parent_id", postgresql_where=text("parent_id is not null")
    ),
    comment="what a run of revisions says about one exposure, as exposurelog shows it; "
    "kept: names and night are those of the row that it came from",
)

# ------------------------------------------------------------------- local

site = Table(
    "site",
    metadata,
    Column("incarnation", Text, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("first_number", BigInteger, nullable=False),
    Column("system_identifier", Text, nullable=False),
    Column("timeline", Integer, nullable=False),
    Column("started_at", MOMENT, nullable=False),
    Column("place", Text),
    Column("closed_code", Text),
    Column("closed", Text),
    comment="local: lives of this database; the greatest first_number is now; place: "
    "oid of the log's table there; closed: why nothing may be written",
)

token = Table(
    "token",
    metadata,
    Column("token_id", Text, primary_key=True),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("owner", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("instruments", ARRAY(Text)),
    Column("delegate", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT),
    Column("revoked_at", MOMENT),
    Column("last_used_at", MOMENT),
    comment="local: annolog's own tokens, hashed",
)

relay_floor = Table(
    "relay_floor",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("published_at", MOMENT, nullable=False),
    Column("missing", BigInteger),
    Column("stopped", Text),
    comment="local: up to where the log is known to be in the topic; missing: up to "
    "where it is not there any more; stopped: why the relay ended last",
)

relay_order = Table(
    "relay_order",
    metadata,
    Column("order_id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("instrument", Text),
    Column("keys", ARRAY(Text)),
    Column("from_number", BigInteger),
    Column("to_number", BigInteger),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("position", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("ordered_by", Text, nullable=False),
    Column("ordered_at", MOMENT, nullable=False),
    Column("started_at", MOMENT),
    Column("ended_at", MOMENT),
    Index(
        "relay_order_open",
        "order_id",
        postgresql_where=text("state in ('waiting', 'running')"),
    ),
    comment="local: what the relay shall send again, and how far it is; position: "
    "greatest change number, or target id, that was sent",
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", MOMENT, nullable=False),
    comment="local: which process may do what only one may do",
)

refresh = Table(
    "refresh",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("record_id", Uuid, nullable=False),
    Column("after_id", BigInteger, nullable=False),
    Column("done_at", MOMENT),
    comment="local: how far the states were worked out anew after a policy, alias ...",
)

waiting = Table(
    "waiting",
    metadata,
    Column("list_id", Uuid, nullable=False),
    Column("record_id", Uuid, nullable=False),
    PrimaryKeyConstraint("list_id", "record_id"),
    comment="local: statements whose list of targets has not come yet",
)

registry = Table(
    "registry",
    metadata,
    Column("registry_id", SmallInteger, Identity(always=True), primary_key=True),
    Column("uri", Text, nullable=False, unique=True),
    Column("instruments", ARRAY(Text), nullable=False),
    Column("instruments_at", MOMENT),
    comment="local: butlers that were asked, and the instruments that they had",
)

registry_reading = Table(
    "registry_reading",
    metadata,
    Column("registry_id", SmallInteger, nullable=False, autoincrement=False),
    Column("instrument", Text, nullable=False),
    Column("since_id", BigInteger, nullable=False),
    Column("exposures_before", BigInteger, nullable=False),
    Column("visits_before", BigInteger, nullable=False),
    Column("read_at", MOMENT, nullable=False),
    Column("swept_at", MOMENT, nullable=False),
    PrimaryKeyConstraint("registry_id", "instrument"),
    comment="local: how far an instrument was read: from since_id on again each time, "
    "what lies before only when its number changes, and now and then",
)

registry_exposure = Table(
    "registry_exposure",
    metadata,
    Column("registry_id", SmallInteger, nullable=False, autoincrement=False),
    Column("instrument", Text, nullable=False),
    Column("exposure_id", BigInteger, nullable=False, autoincrement=False),
    Column("obs_id", Text, nullable=False),
    Column("day_obs", BigInteger),
    Column("seq_num", BigInteger),
    Column("observation_type", Text),
    Column("observation_reason", Text),
    Column("group_name", Text),
    Column("target_name", Text),
    Column("science_program", Text),
    Column("tracking_ra", Double),
    Column("tracking_dec", Double),
    Column("sky_angle", Double),
    Column("timespan_begin", TAI_MOMENT),
    Column("timespan_end", TAI_MOMENT),
    Column("digest", LargeBinary),
    PrimaryKeyConstraint("registry_id", "instrument", "exposure_id"),
    Index(
        "registry_exposure_night",
        "registry_id",
        "instrument",
        "day_obs",
        "exposure_id",
    ),
    Index("registry_exposure_obs_id", "instrument", "obs_id"),
    comment="local: exposures as butlers have them; digest: of the record as it was "
    "last brought into the log, null where it was not",
)
