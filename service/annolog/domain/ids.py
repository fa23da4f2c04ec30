"""Ids as text and back: what records hold, and what views go by.

A record names six ids and a turn reads and writes them again and again; `uuid` does
that in Python, four times as slowly as the library that reads and writes our JSON.
"""

from uuid import UUID

import msgspec


def read_id(text: str) -> UUID:
    """Read an id.

    Parameters
    ----------
    text
        Hexadecimal digits in the usual groups, in any case, or without dashes.

    Raises
    ------
    ValueError
        It is no id.
    """
    try:
        return msgspec.convert(text, UUID)
    except msgspec.ValidationError as error:
        msg = f"{text!r:.80} is no id: {error}"
        raise ValueError(msg) from None


def written_id(one: UUID) -> str:
    """Write an id: 36 characters, in lower case."""
    text: str = msgspec.to_builtins(one)
    return text
