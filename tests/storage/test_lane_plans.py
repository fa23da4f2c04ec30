"""What the lane plans on new tables, and keeps while they grow."""

from annolog.storage import database, turn_load, turn_messages


async def plan_of(url: str, statement: str, values: str) -> str:
    """Plan a statement of the lane on the tables of a new database."""
    await database.migrate(url)
    connection = await database.connect(url, database.LANE)
    await connection.execute(f"prepare kept as {statement}")
    rows = await connection.fetch(f"explain (costs off) execute kept({values})")
    await connection.close()
    return "\n".join(row[0] for row in rows)


async def test_what_was_planned_on_empty_tables_looks_targets_up_by_their_keys(
    empty_database_url: str,
) -> None:
    plan = await plan_of(empty_database_url, turn_load.TARGETS, "'{}'")

    for index in ("target_key_key", "target_class", "exposure_pkey", "said_now_target"):
        assert index in plan
    # Others hold the id as well, behind what nobody asks for.
    assert "target_state_pkey" in plan
    assert "_night" not in plan
    assert "Backward using change_pkey" in plan


async def test_what_was_planned_on_empty_tables_looks_up_the_messages_that_end(
    empty_database_url: str,
) -> None:
    plan = await plan_of(empty_database_url, turn_messages._END, "'[]', '{}'")

    assert "Index Cond: (message_id = ANY ($2))" in plan
