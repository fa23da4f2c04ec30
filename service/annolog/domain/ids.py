"""Ids as text and back: what records hold, and what views go by.

A record names six ids, and a turn reads, compares and looks them up again and again.
`uuid` does all that in Python; the driver brings a `UUID` of its own that does it in C.
"""

from collections.abc import Callable
from typing import cast
from uuid import UUID

import msgspec

_made: Callable[[str | bytes], UUID]
try:
    from asyncpg.pgproto import pgproto
except ImportError:  # a notebook has no driver, and few ids

    def _made(written: str | bytes) -> UUID:
        return UUID(bytes=written) if isinstance(written, bytes) else UUID(written)

else:
    _made = cast("Callable[[str | bytes], UUID]", pgproto.UUID)


def id_of(bits: int) -> UUID:
    """Make an id of its 128 bits."""
    return _made(bits.to_bytes(16, "big"))


def read_id(text: str) -> UUID:
    """Read an id.

    Parameters
    ----------
    text
        32 hexadecimal digits in any case; dashes between them are passed over.

    Raises
    ------
    ValueError
        It is no id.
    """
    try:
        return _made(text)
    except ValueError as error:
        msg = f"{text!r:.80} is no id: {error}"
        raise ValueError(msg) from None


def written_id(one: UUID) -> str:
    """Write an id: 36 characters, in lower case."""
    text: str = msgspec.to_builtins(one)
    return text
