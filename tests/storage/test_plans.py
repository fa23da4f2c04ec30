"""What statements are planned to read, on new tables and on large ones."""

from annolog.storage import (
    conditions,
    database,
    snapshots,
    targets,
    turn_load,
    turn_messages,
)


async def plan_of(url: str, use: database.Use, statement: str, values: str) -> str:
    """Plan a statement for any values, as a connection of some use plans it."""
    connection = await database.connect(url, use)
    await connection.execute("set plan_cache_mode = force_generic_plan")
    await connection.execute(f"prepare kept as {statement}")
    rows = await connection.fetch(f"explain (costs off) execute kept({values})")
    await connection.close()
    return "\n".join(row[0] for row in rows)


async def test_what_was_planned_on_empty_tables_looks_targets_up_by_their_keys(
    empty_database_url: str,
) -> None:
    await database.migrate(empty_database_url)
    plan = await plan_of(empty_database_url, database.LANE, turn_load.TARGETS, "'{}'")

    for index in ("target_key_key", "target_class", "exposure_pkey", "said_now_target"):
        assert index in plan
    # Others hold the id as well, behind what nobody asks for.
    assert "target_state_pkey" in plan
    assert "_night" not in plan
    assert "Backward using change_pkey" in plan


async def test_what_was_planned_on_empty_tables_looks_up_the_messages_that_end(
    empty_database_url: str,
) -> None:
    await database.migrate(empty_database_url)
    plan = await plan_of(
        empty_database_url, database.LANE, turn_messages._END, "'[]', '{}'"
    )

    assert "Index Cond: (message_id = ANY ($2))" in plan


async def test_names_of_exposures_are_looked_up_by_instrument_and_name(
    database_url: str,
) -> None:
    plan = await plan_of(
        database_url, database.READS, targets._BY_OBS_IDS, "'{}', '{}'"
    )

    assert "Index Cond: ((instrument = ANY (" in plan
    assert "AND (name = u.name))" in plan


async def test_the_lives_of_a_database_are_scanned_once_for_all_states(
    database_url: str,
) -> None:
    states = conditions.fill(
        snapshots._STATES,
        place=conditions.fill(snapshots._PLACE, row="r"),
        chosen="r.number > $4",
        order="r.number, r.target_id",
    )
    plan = await plan_of(database_url, database.STREAMS, states, "null, null, null, 9")

    assert plan.count("Seq Scan on site") == 1
    assert "CTE Scan on life" in plan
