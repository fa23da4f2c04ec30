"""What each table of annolog holds of the messages and exposures that are made.

Bodies are put together from their members in the order of names, so they are canonical
JSON, and rows are what the lane would have written of them.
"""

from collections.abc import Iterator

from tests.benchmarks.written import (
    NULL,
    clock,
    moment,
    object_of,
    tai,
    utc,
    utf8,
    words,
)

TABLES = (
    "record",
    "change",
    "revision",
    "said",
    "target",
    "target_name",
    "target_state",
    "message",
    "exposure_fact",
    "exposure",
    "registry_exposure",
)
"""The tables that are filled."""


def of_messages() -> Iterator[str]:
    """Give the statements that enter messages, in any order."""
    yield _records_of_messages()
    yield _revisions()
    yield _changes_of_messages()
    yield _said()
    yield _states()
    yield _messages()
    yield _targets(
        """number is null and exists (
          select from made_message m where m.target_id = e.target_id)"""
    )


def of_exposures() -> Iterator[str]:
    """Give the statements that enter exposures, in any order."""
    yield _targets("number is not null")
    yield """
        select setval(pg_get_serial_sequence('target', 'target_id'),
                      (select max(target_id) from made_exposure))
    """
    yield from _exposures()


_SPOKEN = """(
      select m.*, id as record_id, case when edit then 'edit' else 'create' end
               as operation, added as moment, parent_id as before_id, 0 as late
        from made_message m
      union all
      select m.*, end_id, 'retract', ended, id, 1
        from made_message m where end_id is not null) m"""
"""The revisions: what messages say, and for those that ended the end as well."""

_CLOCK = f"{clock('added')} + late"


def _body() -> str:
    names = {
        "day_obs": "day_obs",
        "instrument": words("instrument"),
        "obs_id": words("obs_id"),
        "seq_num": "seq_num",
    }
    row = object_of(**names, date_added=words(tai("added")), site_id=words("site_id"))
    end = object_of(**names, date_invalidated=words(tai("ended")))
    continues = "case when operation = 'edit' then"
    members = {
        "actor": NULL,
        "agent": NULL,
        "annotation_id": words("annotation_id::text"),
        "assignee": NULL,
        "authenticated_by": words("'import'"),
        "author": words("author"),
        "author_kind": words("kind"),
        "cause": NULL,
        "check": NULL,
        "clock": f"({_CLOCK})",
        # What continues nothing has no such member.
        "content_id": f"""{words("id::text")} || {continues}
            ',"continues":' || {words("parent_id::text")} else '' end""",
        "created_at": words(utc("moment")),
        "exposurelog": f"case when late = 1 then {end} else {row} end",
        "flag": words("flag"),
        "incarnation": words("'00000000'"),
        "kind": words("'revision'"),
        "level": "level",
        "list_id": NULL,
        "observed_at": NULL,
        "operation": words("operation"),
        "origin_number": "0",
        "parent_id": words("before_id::text"),
        "rank": words("kind"),
        "reply_to": NULL,
        "request_digest": NULL,
        "revision_id": words("record_id::text"),
        "schema": "1",
        "seconds_lost": NULL,
        "site_id": words("'exposurelog'"),
        "tags": "to_json(tags)::text",
        "target_count": "1",
        "targets": "'[\"' || key || '\"]'",
        "text": words("words"),
        "uncurated": "'[]'",
        "urls": "to_json(urls)::text",
        "user_agent": words("user_agent"),
        "voter": words("voter"),
        "written_at": NULL,
    }
    return object_of(**members)


def _records_of_messages() -> str:
    return f"""
        insert into record (record_id, kind, clock, site_id, incarnation,
               origin_number, hash, body)
        select record_id, 'revision', {_CLOCK}, 'exposurelog', '00000000', 0,
               sha256(b.body), b.body
          from (select record_id, added, late, {utf8(_body())} as body
                  from {_SPOKEN} offset 0) b
    """


def _detail(before: str, added: str, **ids: str) -> str:
    return utf8(
        object_of(
            actor=object_of(
                authenticated_by=words("door"),
                id=words("author"),
                kind=words("kind"),
                on_behalf_of=NULL,
            ),
            before=before,
            before_complete="'true'",
            reason=NULL,
            targets=object_of(
                added=f"case when {added} then '[\"' || key || '\"]' else '[]' end",
                added_count=f"({added})::integer",
                complete="'true'",
                count="1",
                link=NULL,
                removed="'[]'",
                removed_count="0",
            ),
            annotation_id=ids.get("annotation_id", NULL),
            parent_id=ids.get("parent_id", NULL),
            revision_id=ids.get("revision_id", NULL),
        )
    )


def _changes_of_messages() -> str:
    # An edit changed the text: what it was is that of the row before.
    detail = _detail(
        "case when operation = 'edit' then "
        + object_of(text=words("was"))
        + _ELSE_NULL,
        "operation = 'create'",
        annotation_id=words("annotation_id::text"),
        parent_id=words("before_id::text"),
        revision_id=words("record_id::text"),
    )
    return f"""
        insert into change (number, record_id, kind, operation, subject, instruments,
               days, detail, committed_at)
        select number + late, record_id, 'revision', operation, annotation_id::text,
               array[instrument], array[day_obs], {detail}, now()
          from (select m.*, 'import' as door, p.words as was
                  from {_SPOKEN}
                  left join made_message p on p.id = m.parent_id) c
         order by number
    """


_ELSE_NULL = " else 'null' end"


def _revisions() -> str:
    return f"""
        insert into revision (revision_id, annotation_id, parent_id, clock, operation,
               author, author_kind, voter, rank, flag, tags, level, created_at,
               target_count, instrument, day_obs, seq_num, day_last, counted, number,
               current_from, current_to, annotation_created_at, words)
        select record_id, annotation_id, before_id, {_CLOCK}, operation, author, kind,
               voter, (kind = 'human')::integer, flag, tags, level,
               {moment("moment")}, 1, instrument, day_obs, seq_num, day_obs,
               end_id is null, number + late, number + late,
               case when end_id is not null then number + late + 1 end,
               {moment("started")}, to_tsvector('simple', words)
          from {_SPOKEN}
    """


def _said() -> str:
    return f"""
        insert into said (source_id, target_id, from_number, to_number, annotation_id,
               revision_id, ordinal, author, voter, rank, flag, vote_id, vote_clock,
               tags, instrument, day_obs, seq_num)
        select annotation_id, target_id, number,
               case when end_id is not null then number + 1 end, annotation_id,
               annotation_id, 0, author, voter, (kind = 'human')::integer, flag,
               annotation_id, {clock("started")}, tags, instrument, day_obs, seq_num
          from made_message
    """


def _states() -> str:
    # Of several statements about an exposure one has a flag at most.
    return """
        insert into target_state (target_id, kind, flag, decided_by, outvoted, disputed,
               bots_differ, follow_ups, tags, notes, empty, number, basis, instrument,
               day_obs, seq_num)
        select target_id, 'exposure', max(flag),
               coalesce(array_agg(annotation_id) filter (where flag is not null), '{}'),
               '{}', false, false, '{}',
               array(select distinct tag collate "C"
                       from unnest(string_to_array(string_agg(
                              nullif(array_to_string(tags, ','), ''), ','), ',')) tag
                      order by 1),
               count(*), false, max(number),
               (select max(number) from entry
                 where kind in ('flag', 'policy', 'alias')),
               min(instrument), min(day_obs), min(seq_num)
          from made_message
         where end_id is null
         group by target_id
    """


def _messages() -> str:
    return """
        insert into message (message_id, annotation_id, revision_id, target_id, site_id,
               instrument, obs_id, day_obs, seq_num, date_added, date_invalidated,
               parent_id, kept)
        select id, annotation_id, id, target_id, site_id, instrument, obs_id, day_obs,
               seq_num, added, ended, parent_id, true
          from made_message
    """


def _targets(which: str) -> str:
    return f"""
        insert into target (target_id, key, class_id, kind, instrument, day_obs,
               seq_num, exposure_id)
        overriding system value
        select target_id, key, target_id, 'exposure', instrument, day_obs, seq_num,
               exposure_id
          from made_exposure e
         where {which}
    """


def _exposures() -> Iterator[str]:
    told = "from made_exposure cross join site where number is not null"
    said = utf8("'[\"' || key || '\",null,' || fact || ']'")
    digest = f"sha256({said})"
    record_id = "md5('record of ' || key)::uuid"
    arrival = "ended + interval '60 seconds'"
    body = object_of(
        actor=NULL,
        agent=NULL,
        authenticated_by=words("'butler'"),
        author=words("'butler'"),
        author_kind=words("'bot'"),
        check=NULL,
        clock=f"({clock(arrival)})",
        created_at=words(utc(f"({arrival})")),
        event=words("'record'"),
        fields="fact",
        incarnation=words("incarnation"),
        key=words("key"),
        kind=words("'exposure'"),
        origin_number="number",
        rank=words("'bot'"),
        record_id=words(f"{record_id}::text"),
        request_digest=words(f"encode({digest}, 'hex')"),
        schema="1",
        site_id=words("site_id"),
        source=words("'butler'"),
        twin=NULL,
        user_agent=NULL,
        voter=words("'butler#'"),
    )
    yield f"""
        insert into record (record_id, kind, clock, site_id, incarnation,
               origin_number, hash, body)
        select record_id, 'exposure', clock, site_id, incarnation, number,
               sha256(body), body
          from (select {record_id} as record_id, {clock(arrival)} as clock, site_id,
                       incarnation, number, {utf8(body)} as body
                  {told} offset 0) b
    """
    yield f"""
        insert into change (number, record_id, kind, operation, subject, instruments,
               days, detail, committed_at)
        select number, {record_id}, 'exposure', 'record', key, array[instrument],
               array[day_obs], {_detail(NULL, "false")}, {moment(arrival)}
          from (select *, 'butler' as author, 'bot' as kind, 'butler' as door
                  {told}) c
         order by number
    """
    yield f"""
        insert into exposure_fact (record_id, target_id, source, event, clock, number,
               fields)
        select {record_id}, target_id, 'butler', 'record', {clock(arrival)}, number,
               fact::jsonb
          {told}
    """
    yield f"""
        insert into exposure (target_id, instrument, day_obs, seq_num, exposure_id,
               obs_id, state, begin_at, end_at, observation_type, fields,
               contradictions, number)
        select target_id, instrument, day_obs, seq_num, exposure_id, obs_id, 'ingested',
               {moment("began")}, {moment("ended")}, type, fact::jsonb, '{{}}', number
          {told}
    """
    yield f"""
        insert into target_name (instrument, name, target_id)
        select instrument, obs_id, target_id {told}
    """
    yield f"""
        insert into registry_exposure (registry_id, instrument, exposure_id, obs_id,
               day_obs, seq_num, observation_type, observation_reason, group_name,
               target_name, science_program, tracking_ra, tracking_dec, sky_angle,
               timespan_begin, timespan_end, digest)
        select (select max(registry_id) from registry), instrument, exposure_id, obs_id,
               day_obs, seq_num, type, 'survey', obs_id, 'lowdust', 'BLOCK-365', ra,
               dec, 30.5, began, ended,
               case when number is not null then {digest} end
          from made_exposure
    """
