"""Addresses of databases, in the ways in which people write them."""

import pytest

from annolog.domain.errors import InvalidError
from annolog.exposurelog.addresses import database_address


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("postgresql://me:word@host:5433/log", "postgresql://me:word@host:5433/log"),
        ("postgres://me@host/log", "postgresql://me@host/log"),
        (" postgresql://me@host/log\n", "postgresql://me@host/log"),
        (
            "postgresql://me@%2Ftmp%2Fsocket/log?sslmode=disable",
            "postgresql://me@%2Ftmp%2Fsocket/log?sslmode=disable",
        ),
        ("postgresql://me@[::1]:5432/log", "postgresql://me@[::1]:5432/log"),
        ("postgresql:///?host=/tmp&dbname=log", "postgresql:///log?host=%2Ftmp"),
        # SQLAlchemy's names of drivers, passwords and options of its own.
        ("postgresql+asyncpg://me@host/log", "postgresql://me@host/log"),
        (
            "postgresql+psycopg2://me:w%40rd/x@host/log",
            "postgresql://me:w%40rd%2Fx@host/log",
        ),
        (
            "postgresql+asyncpg://me@host/log?ssl=require&prepared_statement_name_func=x",
            "postgresql://me@host/log?sslmode=require",
        ),
        (
            "postgresql+psycopg://me@/log?host=machine:5444",
            "postgresql://me@/log?host=machine&port=5444",
        ),
        # libpq's keywords.
        (
            "host=/tmp/socket port=5433 dbname='my log' user=me connect_timeout=3",
            "postgresql:///my%20log?host=%2Ftmp%2Fsocket&port=5433&user=me",
        ),
        (
            r"dbname = log password = 'it\'s \\ so' host=a,b port=1,2",
            "postgresql:///log?password=it%27s%20%5C%20so&host=a%2Cb&port=1%2C2",
        ),
        ("service=summit", "postgresql://?service=summit"),
        ("dbname=log password='' host=", "postgresql:///log"),
    ],
)
def test_an_address_becomes_a_url_of_the_driver(written: str, address: str) -> None:
    assert database_address(written) == address


@pytest.mark.parametrize("text", ["", "secret", "mysql://me:secret@host/log", "a=b c"])
def test_what_is_no_address_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        database_address(text)

    assert "secret" not in refused.value.detail
