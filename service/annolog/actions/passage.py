"""The connection over which the turns of a lane go, and whether it is in the lane.

While requests wait, one turn follows the other over the same connection, and the end of
one is the beginning of the next: one trip to the server instead of two.
"""

from annolog.storage import turn
from annolog.storage.database import (
    CONNECT_TIMEOUT,
    Connection,
    Lent,
    Pool,
    answering,
    drop,
    give_back,
    has_ended,
    lent,
)


class Passage:
    """One connection's way into the lane, through it, and out again.

    Parameters
    ----------
    connections
        Pool of one connection for the lane (`database.LANE`).
    """

    def __init__(self, connections: Pool) -> None:
        self._connections = connections
        self._connection: Lent | None = None
        self._begun = False
        self._locked = False

    async def enter(self) -> Connection:
        """Give the connection in a transaction that holds the lane's lock.

        Raises
        ------
        UnavailableError
            No connection can be had.
        """
        if self._connection is None:
            with answering():
                self._connection = await lent(self._connections, CONNECT_TIMEOUT)
        if not self._locked:
            entering = turn.LOCK if self._begun else turn.ENTER
            self._begun = True  # also where the lock is not to be had
            await self._connection.execute(entering)
            self._locked = True
        return self._connection

    async def end(self, connection: Connection, *, stored: bool, again: bool) -> None:
        """End the transaction.

        Parameters
        ----------
        connection
            What `enter` gave.
        stored
            Whether there is something to commit.
        again
            Whether another turn follows at once. Then the lock is taken again if
            nobody else waits for it; whoever waits comes first.
        """
        ending = "commit" if stored else "rollback"
        if not again:
            await connection.execute(ending)
            self._begun = self._locked = False
            return
        status = await connection.execute(f"{ending}; {turn.ENTER_IF_FREE}")
        self._begun, self._locked = True, status == "SELECT 1"

    async def fail(self, error: BaseException) -> None:
        """Leave a turn that failed: nothing of it is stored, if it was not before.

        Parameters
        ----------
        error
            Of what it failed.
        """
        if has_ended(error):
            self.give_up()
        await self.leave()

    def give_up(self) -> None:
        """Drop the connection, as its state is not known."""
        if self._connection is not None:
            drop(self._connection)
            self._begun = self._locked = False

    async def leave(self) -> None:
        """Give the connection back, out of the lane."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        begun, self._begun, self._locked = self._begun, False, False
        try:
            if not begun and not connection.is_closed():
                await give_back(connection)
                return
            if not connection.is_closed():
                await connection.execute("rollback", timeout=CONNECT_TIMEOUT)
        except Exception:  # noqa: BLE001 - it is broken: the pool will replace it
            drop(connection)
        await self._connections.release(connection)
