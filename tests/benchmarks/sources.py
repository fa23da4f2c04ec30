"""What there is to say: a row for each message and each exposure, to make tables of.

`made_message` and `made_exposure` have all that the tables of annolog are filled from.
"""

from collections.abc import Iterator
from datetime import date

from tests.benchmarks import nights
from tests.benchmarks.nights import BLOCK, CAMERAS, EDITED, EXPOSURES, MESSAGES
from tests.benchmarks.written import object_of, utc, words

PHRASES = (
    "Rings around stars in more than half of the detectors, focus is suspected.",
    "Guider lost its star after the slew and found it again two exposures later.",
    "Satellite trail across the upper rafts; nothing else looks wrong with it.",
    "Seeing jumped to 1.9 and came back within minutes, clouds in the west.",
    "Dome vignetting above seventy degrees of altitude, see the corner rafts.",
    "Shutter opened late by a fraction of a second according to its log.",
    "Stars are elongated along the azimuth, wind gusts from the north.",
)
"""What people say; six of them are a remark of usual length (450 characters)."""


def exposures(messages: int) -> Iterator[str]:
    """Give the statements that lay out the exposures of which something is said.

    Parameters
    ----------
    messages
        How many messages there will be.
    """
    yield "drop table if exists made_exposure"
    yield _made_exposures(messages)
    yield "alter table made_exposure add primary key (target_id)"
    yield "analyze made_exposure"


def some_messages(messages: int, first: int, beyond: int) -> Iterator[str]:
    """Give the statements that lay out some of the messages, instead of others.

    Parameters
    ----------
    messages
        How many messages there will be in all.
    first, beyond
        Which of them: whole nights.
    """
    yield "drop table if exists made_message"
    yield _made_messages(messages, first, min(beyond, messages))
    yield "analyze made_message"


def registry(uri: str) -> str:
    """Enter a butler as if somebody read it again and again, which is how sites run it.

    Parameters
    ----------
    uri
        Where it is.
    """
    names = ", ".join(f"'{name}'" for name in sorted(c.name for c in CAMERAS))
    return f"""
        with one as (
          insert into registry (uri, instruments, instruments_at)
          values ('{uri}', array[{names}], clock_timestamp() + interval '1 day')
          returning registry_id, instruments
        )
        insert into registry_reading (registry_id, instrument, since_id,
               exposures_before, visits_before, read_at, swept_at)
        select registry_id, unnest(instruments), 0, 0, 0,
               clock_timestamp() + interval '1 day',
               clock_timestamp() + interval '1 day'
          from one
    """


def _cameras() -> str:
    """Give the instruments as rows; `first` and `share` are of ten messages."""
    found, first = [], 0
    for c in CAMERAS:
        values = f"{c.before}, {c.exposures}, {first}, {c.messages}"
        found.append(f"('{c.name}', '{c.prefix}', {values})")
        first += c.messages
    return f"""camera (instrument, prefix, before, exposures, first, share) as (
          values {", ".join(found)})"""


def _evening(first: date, night: str) -> str:
    return f"(date '{first}' + ({night})::integer + interval '23 hours')"


def _made_exposures(messages: int) -> str:
    count = nights.nights(messages)
    untold = count - min(count, nights.FOLLOWED)
    evening = _evening(nights.first_night(messages), f"x / {EXPOSURES}")
    return f"""
        create unlogged table made_exposure as
        with {_cameras()}, numbered as (
          select x as target_id, instrument, prefix, {evening} as evening,
                 to_char({evening}, 'YYYYMMDD')::integer as day_obs,
                 (x % {EXPOSURES} - before + 1)::integer as seq_num
            from generate_series(0, {count * EXPOSURES - 1}) x
            join camera on x % {EXPOSURES} >= before
                       and x % {EXPOSURES} < before + exposures
        ), named as (
          select *, prefix || '_O_' || day_obs || '_' || lpad(seq_num::text, 6, '0')
                      as obs_id,
                 day_obs::bigint * 100000 + seq_num as exposure_id,
                 evening + seq_num * interval '80 seconds 1 microsecond' as began
            from numbered
        ), told as (
          select *, began + interval '30 seconds' as ended,
                 'exposure:' || instrument || '/' || exposure_id as key,
                 (select max(number) from change) + 1 + target_id
                   - {untold * EXPOSURES} as number,
                 case when seq_num % 20 = 0 then 'flat' else 'science' end as type,
                 10.5 + seq_num % 300 as ra, -20.25 - seq_num % 30 as dec
            from named
        )
        select target_id + 1 as target_id, instrument, obs_id, day_obs, seq_num,
               exposure_id, began, ended, key, type, ra, dec,
               case when target_id >= {untold * EXPOSURES} then number end as number,
               case when target_id >= {untold * EXPOSURES} then {_fact()} end as fact
          from told
    """


def _fact() -> str:
    """Write what a butler told of an exposure, as the log has it."""
    return object_of(
        begin=words(utc("began")),
        day_obs="day_obs",
        end=words(utc("ended")),
        exposure_id="exposure_id",
        group=words("obs_id"),
        obs_id=words("obs_id"),
        observation_reason=words("'survey'"),
        observation_type=words("type"),
        science_program=words("'BLOCK-365'"),
        seq_num="seq_num",
        sky_angle="'30.5'",
        target_name=words("'lowdust'"),
        tracking_dec="dec",
        tracking_ra="ra",
    )


def _added(evening: str, n: str) -> str:
    """Say when a message was said (TAI): in its night, a few only the next day.

    Never on a whole second, as that is written without a fraction.
    """
    return f"""({evening} + ({n}) % {MESSAGES} * interval '61 seconds'
        + (1 + ({n}) * 7919 % 999983) * interval '1 microsecond'
        + case when ({n}) % {BLOCK} = 13 then interval '16 hours'
               else interval '0' end)"""


def _made_messages(messages: int, first: int, beyond: int) -> str:
    evening = _evening(nights.first_night(messages), "night")
    phrases = ", ".join(f"'{phrase}'" for phrase in PHRASES)
    more = " || ' ' || ".join(f"phrase[1 + (n + {k}) % 7]" for k in range(1, 6))
    return f"""
        create unlogged table made_message as
        with {_cameras()}, numbered as (
          select n, n / {MESSAGES} as night, n % {MESSAGES} - edit::integer as b, edit,
                 n % {BLOCK} = {EDITED} and n + 1 < {messages} as edited
            from (select n, n % {BLOCK} = {EDITED + 1} as edit
                    from generate_series({first}, {beyond - 1}::bigint) n) every
        ), placed as (
          select *, b / 10 * share + b % 10 - first as place
            from numbered join camera on b % 10 >= first and b % 10 < first + share
        ), about as (
          -- Every fifth is about the exposure of the one before.
          select *, place % 5 = 4 as again, (b + night) % 7 = 0 as bot,
                 night * {EXPOSURES} + before + 1
                   + (place - (place % 5 = 4)::integer) * 7 % exposures as target_id,
                 {_added(evening, "n")} as added,
                 {_added(evening, "n - edit::integer")} as started,
                 case when edited then {_added(evening, "n + 1")} end as ended,
                 array[{phrases}] as phrase
            from placed
        )
        select md5('message ' || n)::uuid as id,
               case when edit then md5('message ' || n - 1)::uuid end as parent_id,
               md5('message ' || n - edit::integer)::uuid as annotation_id,
               case when edited then md5('end of message ' || n)::uuid end as end_id,
               (select max(number) from made_exposure) + 1 + n + n / {BLOCK}
                 + (n % {BLOCK} > {EDITED})::integer as number,
               edit, added, started, a.ended,
               case when bot then 'quality-bot' else 'observer' || b % 40 end as author,
               case when bot then 'bot' else 'human' end as kind,
               case when bot then 'quality-bot#' else 'observer' || b % 40 end as voter,
               case when bot then 'pipeline' when n % 3 = 0 then 'rubintv'
                    else 'LOVE' end as user_agent,
               case when n % 4 = 1 then 'base' else 'summit' end as site_id,
               case when not again and (b + night) % 8 = 0 then 'junk'
                    when not again and (b + night) % 8 < 3 then 'questionable' end
                 as flag,
               case when b % 9 < 4 then '{{}}' when b % 9 < 7 then '{{donuts}}'
                    when b % 9 = 7 then '{{slew}}' else '{{donuts,trailed}}'
                    end::text[] as tags,
               case when b % 6 = 0 then 40 else 20 end as level,
               case when b % 5 = 0
                    then array['https://jira.example.org/browse/OBS-' || n % 9973]
                    else '{{}}' end as urls,
               case when edit then 'Corrected: ' else '' end || phrase[1 + n % 7]
                 || case when n % 3 = 0 then ' OBS-' || n || ' ' || {more} else '' end
                 as words,
               target_id, e.key, e.instrument, e.obs_id, e.day_obs, e.seq_num
          from about a join made_exposure e using (target_id)
    """
