"""How alembic reaches the database: by the connection that it is handed.

`annolog.storage.database.migrate` runs it; there is no other way in, so that no
migration runs without the lock, the check of the server and the ANALYZE at the end.
"""

from alembic import context

from annolog.storage.tables import metadata


def run() -> None:
    """Run the migrations on the connection in `attributes`."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
