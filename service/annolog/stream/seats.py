"""Who is connected to a stream: how many, and who does not take what is sent."""

from collections.abc import Callable

MAX_SEATS = 2000
"""Open streams of one process."""

PATIENCE = 30.0
"""Seconds in which a client must take something of what was sent to it."""


class Seat:
    """One open stream.

    Parameters
    ----------
    abort
        Ends its connection at once; None where the server offers no way.

    Attributes
    ----------
    sending_since
        When the present write began, by the loop's clock; None while none is under
        way.
    """

    __slots__ = ("abort", "sending_since")

    def __init__(self, abort: Callable[[], None] | None) -> None:
        self.abort = abort
        self.sending_since: float | None = None


class Seats:
    """The open streams of a process.

    Parameters
    ----------
    most
        How many there may be.

    Attributes
    ----------
    opened
        How many were opened ever.
    sent
        How many events were sent over all of them ever.
    dropped
        How many were closed ever because their clients took nothing.
    """

    def __init__(self, most: int = MAX_SEATS) -> None:
        self._most = most
        self._taken: set[Seat] = set()
        self.opened = self.sent = self.dropped = 0

    def __len__(self) -> int:
        return len(self._taken)

    @property
    def full(self) -> bool:
        """Whether no further stream may be opened."""
        return len(self._taken) >= self._most

    def take(self, seat: Seat) -> None:
        """Count a stream in."""
        self._taken.add(seat)
        self.opened += 1

    def leave(self, seat: Seat) -> None:
        """Count a stream out."""
        self._taken.discard(seat)

    def drop_stuck(self, now: float, patience: float = PATIENCE) -> None:
        """End the connections of those who take nothing.

        Closing them would wait until they took the rest, which they do not.

        Parameters
        ----------
        now
            The loop's clock.
        patience
            Seconds for which a write may have been under way.
        """
        for seat in self._taken:
            since = seat.sending_since
            if since is not None and now - since >= patience and seat.abort is not None:
                seat.sending_since = None
                self.dropped += 1
                seat.abort()
