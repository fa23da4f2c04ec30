"""Keep what this version publishes: `python -m tests.golden`, before each release.

It writes the schemas of events into `service/annolog/schemas`, and into
`tests/data/events/<version>` these schemas and one of every kind of message, as the
service publishes them from a real database with a fixed clock and fixed ids. Every
later version is held to them by `tests/stream/test_schemas.py`.
"""

import argparse
import sys
from pathlib import Path

import annolog
from annolog.domain import schemas
from annolog.storage.database import migrate
from tests.support import released
from tests.support.postgres import PostgresServer, run_apart
from tests.support.published import everything
from tests.support.sessions import session_home

SCHEMAS = Path(annolog.__file__).parent / "schemas"


def main() -> int:
    """Write the files; a set that is there is another's to change."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument(
        "--again",
        action="store_true",
        help="write the set of this version anew: it was not released yet",
    )
    asked = parser.parse_args()
    made = {name: schemas.make(name) for name in schemas.FILES}
    for name, content in made.items():
        (SCHEMAS / name).write_bytes(content)
    version = annolog.__version__
    if version in released.versions() and not asked.again:
        sys.stderr.write(f"there is a set of {version}; a released one never changes\n")
        return 1
    with session_home() as home:
        server = PostgresServer(home)
        server.start()
        try:
            url = server.create("golden")
            run_apart(migrate(url))
            published = run_apart(everything(url))
        finally:
            server.close()
    released.write(version, published, made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
