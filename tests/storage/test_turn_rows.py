"""What a turn writes of words: arrays of any words, and texts for the index."""

import time

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.annotations import MAX_TEXT_BYTES
from annolog.storage.turn_rows import MOST_SEARCHED, searchable


def test_a_text_of_ordinary_words_is_searched_as_it_is() -> None:
    text = "guider lost lock, see https://example.org/a/b_c?d=e " * 40

    assert searchable(text) == text


PIECES = st.sampled_from(["a", "_", "天"]).flatmap(
    lambda one: st.integers(0, 600).map(lambda length: one * length)
)
"""Pieces about as long as are cut, and much longer and shorter ones."""


@given(
    st.text(max_size=3000)
    | st.text(alphabet="ab_ \n天", max_size=3000)
    | st.lists(st.sampled_from([" ", "\n", "\x00"]) | PIECES).map("".join)
)
def test_pieces_without_a_blank_are_short_and_nothing_else_changes(text: str) -> None:
    found = searchable(text)

    assert all(len(piece) <= 256 for piece in found.split())
    assert "".join(found.split()) == "".join(text.replace("\x00", " ").split())


@pytest.mark.parametrize("piece", ["one_long_word", "a1f-09c-", "a.b/", "天", "a@b_"])
async def test_the_longest_text_without_a_blank_takes_the_server_no_time(
    database_url: str, piece: str
) -> None:
    text = piece * (MAX_TEXT_BYTES // len(piece))
    connection = await asyncpg.connect(database_url)
    try:
        begun = time.monotonic()
        await connection.fetchval(
            "select to_tsvector('simple', $1::text)", searchable(text)
        )
        seconds = time.monotonic() - begun
    finally:
        await connection.close()

    assert seconds < 2  # without the blanks some take ten


async def test_the_longest_text_with_most_words_fits_into_the_index(
    database_url: str,
) -> None:
    connection = await asyncpg.connect(database_url)
    words = " ".join(chr(0x20000 + n) for n in range(MOST_SEARCHED))
    compounds = "-".join(chr(0x20000 + n) for n in range(MOST_SEARCHED))
    try:
        for text in (words, compounds):
            await connection.fetchval(
                "select to_tsvector('simple', $1::text)", searchable(text)
            )
    finally:
        await connection.close()
