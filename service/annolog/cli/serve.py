"""`annologd serve`: the HTTP service, one process."""

import asyncio
import errno
import gc
import signal
import socket
import sys

import click
import uvicorn
from litestar import Litestar

from annolog import settings as setting
from annolog.api.logs import configure_logs
from annolog.api.wire import Protocol
from annolog.app import create_app
from annolog.cli.main import FailedError, WrongUseError
from annolog.storage import database

KEEP_ALIVE = 61
"""Seconds that an idle connection is kept: longer than proxies in front keep it (60),
or they would send requests into one that just closed."""

LAST_REQUESTS = 10
"""Seconds that running requests have to end when the service stops."""

BACKLOG = 2048
"""Connections that may wait to be accepted."""

GARBAGE = (50_000, 50, 100)
"""Thresholds of the garbage collector: with the usual ones it looks through every list
of a thousand messages while that is being made."""


@click.command("serve")
@click.option("--host", help="Address to listen on; default ANNOLOG_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default ANNOLOG_PORT.")
def command(*, host: str | None, port: int | None) -> None:  # numpydoc ignore=PR01,RT01
    """Serve HTTP until SIGTERM or SIGINT; requests that run are answered first."""
    wanted = {"host": host, "port": port}
    settings = setting.load(changed={k: v for k, v in wanted.items() if v is not None})
    if not settings.database_url:
        raise WrongUseError(
            "annologd: ANNOLOG_DATABASE_URL is not set; set it, or let `annologd run`"
            " bring a database"
        )
    # Bound here and not by uvicorn, which would end with 1 and a traceback's worth
    # of lines, after everything else was opened.
    with bind(settings.host, settings.port) as listener:
        asyncio.run(_check_database(settings.database_url, settings.site_id))
        server = _server(create_app(settings))
        # After it: the framework brings a form of its own unless it is told not to.
        configure_logs(settings.log_format, stream=sys.stdout)
        # uvicorn ends by raising the signal again that stopped it. With the default
        # handlers an orderly end would look like a killed process.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.handle_exit)
        # What is there now stays; rows of large answers come and go without rings.
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        server.run(sockets=[listener])
    if not server.started:
        raise SystemExit(1)


def _server(application: Litestar) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            application,
            loop="uvloop",
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Who is behind a proxy is for `auth` to say, never for a header alone.
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=LAST_REQUESTS,
        )
    )


async def _check_database(url: str, site_id: str) -> None:
    connection = await database.connect(url, database.WORK)
    try:
        with database.answering():
            found = await database.schema_version(connection)
            if found != database.SCHEMA:
                raise FailedError(
                    f"annologd: the database's schema is {found or 'empty'} and"
                    f" {database.SCHEMA} is needed: run annologd migrate"
                )
            await database.ensure_site(connection, site_id)
    finally:
        await connection.close()


def bind(host: str, port: int) -> socket.socket:
    """Open the socket that the service listens on.

    Parameters
    ----------
    host
        An address or a name.
    port
        0 for any free one.

    Returns
    -------
    socket.socket
        Bound and listening.

    Raises
    ------
    WrongUseError
        The port is taken or not ours to take, or there is no such host.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise WrongUseError(
            f"annologd: ANNOLOG_HOST {host!r} cannot be listened on: {error.strerror}"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        why = {
            errno.EADDRINUSE: "is taken by another program",
            errno.EACCES: "may be taken by root only",
            errno.EADDRNOTAVAIL: "cannot be had: this machine has no such address",
        }.get(error.errno or 0, f"cannot be had: {error.strerror}")
        raise WrongUseError(
            f"annologd: port {port} of {host} {why}; set ANNOLOG_PORT or ANNOLOG_HOST"
        ) from None
    listener.set_inheritable(True)
    return listener
