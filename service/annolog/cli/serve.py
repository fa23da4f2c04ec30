"""`annologd serve`: the HTTP service, one process."""

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable
from typing import cast

import click
import uvicorn
from litestar import Litestar
from typing_extensions import override
from uvicorn.lifespan.on import LifespanOn, LifespanSendMessage

from annolog import settings as setting
from annolog.api import stream
from annolog.api.logs import configure_logs
from annolog.api.wire import Protocol
from annolog.app import create_app
from annolog.cli.main import FailedError, WrongUseError
from annolog.domain.errors import AnnologError
from annolog.storage import database

KEEP_ALIVE = 61
"""Seconds that an idle connection is kept: longer than proxies in front keep it (60),
or they would send requests into one that just closed."""

LAST_REQUESTS = 10
"""Seconds that running requests have to end when the service stops."""

LAST_CALL = 1.0
"""Seconds that connections without a request stay open when the service stops: who
sends one meanwhile is answered, and told that it is the last."""

GONE = 60_000
"""Milliseconds after which a client that acknowledges nothing is given up: one that
lost its network says no goodbye, and its stream would be kept for a quarter of an
hour."""

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
        application = create_app(settings)
        server = _server(application, application.state.end_waiting)
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


def _server(application: Litestar, end_waiting: Callable[[], None]) -> "_Server":
    return _Server(
        uvicorn.Config(
            application,
            loop="uvloop",
            http=_Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # Who is behind a proxy is for `auth` to say, never for a header alone.
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=LAST_REQUESTS,
        ),
        end_waiting,
    )


class _Server(uvicorn.Server):
    """Stops so that nobody notices who has another process to go to.

    uvicorn tells the application after the last connection has closed, for which
    streams would be waited for in vain; so they are told here.
    """

    def __init__(self, config: uvicorn.Config, end_waiting: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_waiting = end_waiting

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        lifespan = _Lifespan(self.config)
        self.lifespan = lifespan
        try:
            await super().startup(sockets)
        except SystemExit:
            # uvicorn's own code says something else where others give it.
            raise lifespan.failure or SystemExit(1) from None

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or ():
            await self._stop_listening(listener)
        # Those accepted a moment before are known after the next turns of the loop.
        for _ in range(3):
            await asyncio.sleep(0)
        self._end_waiting()
        await super().shutdown(sockets)

    async def _stop_listening(self, listener: socket.socket) -> None:
        """Close a socket, but take in all who were connected before.

        The system completes connections by itself and resets those that nobody has
        accepted when the socket closes, with the requests that they sent.
        """
        # The copy holds the queue open when the server lets go of it.
        queue = listener.dup()
        queue.setblocking(False)
        for server in self.servers:
            server.close()
        listener.close()
        arrived = []
        with contextlib.suppress(OSError):  # BlockingIOError: that was the last one
            while True:
                arrived.append(queue.accept()[0])
        queue.close()
        loop = asyncio.get_running_loop()
        for connection in arrived:
            with contextlib.suppress(OSError):
                await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> "_Protocol":
        protocol = _Protocol(self.config, self.server_state, self.lifespan.state)
        protocol.ends = True
        return protocol


class _Lifespan(LifespanOn):
    """Keeps what a start failed of, in place of the framework's traceback of it."""

    failure: AnnologError | None = None

    @override
    async def send(self, message: LifespanSendMessage) -> None:
        if message["type"] == "lifespan.startup.failed":
            # The framework tells while it handles the error, and gives its text alone.
            self.failure = _meant_for_users(sys.exception())
            if self.failure is not None:
                message["message"] = ""
        await super().send(message)


def _meant_for_users(error: BaseException | None) -> AnnologError | None:
    """Find the one reason of a failed start, in the group that it comes in."""
    if isinstance(error, BaseExceptionGroup):
        found = [_meant_for_users(each) for each in error.exceptions]
        return found[0] if len(found) == 1 else None
    if isinstance(error, AnnologError):
        return error
    return database.unavailable() if error and database.is_away(error) else None


class _Protocol(Protocol):
    """A connection that loses nothing at its end."""

    ends = False
    """Whether the next answer is the last one."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._abort = cast("asyncio.Transport", transport).abort

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {stream.ABORT: {"call": self._abort}}

    @override
    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.ends:
            self.cycle.keep_alive = False

    @override
    def shutdown(self) -> None:
        # A request may be on its way here: closing now would lose it.
        self.ends = True
        if self._is_idle():
            self._unset_keepalive_if_required()
            self.loop.call_later(LAST_CALL, self._hang_up)
        else:
            self.cycle.keep_alive = False

    def _hang_up(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _is_idle(self) -> bool:
        # Before the first request there is none, whatever its type says.
        cycle: object = self.cycle
        return cycle is None or self.cycle.response_complete


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
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE)
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
