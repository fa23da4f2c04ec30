"""Answers of any length: small ones at once, large ones in pieces."""

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Send
from typing_extensions import override

JSON = "application/json"
"""The content type of all answers here."""

WHOLE = 1_048_576
"""Bytes up to which an answer is sent at once, with its length."""

Pieces = AsyncGenerator[bytes, None]
"""An answer that is made while it is sent."""


async def answer(pieces: Pieces) -> Response[Any]:
    """Answer with JSON that comes in pieces.

    What fails before `WHOLE` bytes are there is answered with an error; what fails
    later breaks the connection off, so that nobody takes a part for the whole.

    Parameters
    ----------
    pieces
        The pieces; closed when all was sent, or the reader left.
    """
    head = bytearray()
    async for piece in pieces:
        head += piece
        if len(head) >= WHOLE:
            return _Streamed(_joined(bytes(head), pieces))
    return Response(bytes(head), media_type=JSON)


async def _joined(head: bytes, pieces: Pieces) -> Pieces:
    try:
        yield head
        async for piece in pieces:
            yield piece
    finally:
        await pieces.aclose()


class _Streamed(Response[bytes]):
    """An answer whose pieces are closed at its end.

    Litestar's own stream leaves that to the garbage collector, and with it a
    connection of the database.
    """

    def __init__(self, pieces: Pieces) -> None:
        super().__init__(b"", media_type=JSON)
        self._pieces = pieces

    @override
    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _Sending(self._pieces)


class _Sending(ASGIStreamingResponse):
    def __init__(self, pieces: Pieces) -> None:
        super().__init__(iterator=pieces, media_type=JSON)
        self._pieces = pieces

    @override
    async def send_body(self, send: Send, receive: Receive) -> None:
        try:
            await super().send_body(send, receive)
        finally:
            await self._pieces.aclose()
