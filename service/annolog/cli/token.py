"""`annologd token`: annolog's own tokens."""

import re
from datetime import datetime, timedelta
from typing import Any

import click
from typing_extensions import override

from annolog.auth import tokens as forms
from annolog.cli.connected import on_database
from annolog.cli.main import FailedError, emit, json_option
from annolog.domain.roles import Kind, Role, user_name
from annolog.storage import tokens
from annolog.storage.database import Connection
from annolog.storage.tokens import StoredToken

_UNITS = {"h": 1, "d": 24, "w": 24 * 7}


class _Duration(click.ParamType[timedelta | None]):
    name = "duration"

    @override
    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta | None:
        if isinstance(value, timedelta):
            return value
        if value == "never":
            return None
        found = re.fullmatch(r"([1-9]\d{0,4})([hdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time: write 12h, 90d, 52w or never", param, ctx)
        return timedelta(hours=int(found[1]) * _UNITS[found[2]])


@click.group("token")
def command() -> None:
    """Make, list and revoke tokens."""


@command.command("create")
@click.option("--owner", required=True, help="User whose token it is.")
@click.option(
    "--kind",
    type=click.Choice(["human", "bot"]),
    default="human",
    show_default=True,
    help="Whether a person or a program holds it.",
)
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    help="What it may do. Default: author, or bot for a bot.",
)
@click.option(
    "--instrument",
    "instruments",
    multiple=True,
    help="Write about this instrument's targets only; may be repeated.",
)
@click.option(
    "--expires",
    type=_Duration(),
    default="365d",
    show_default=True,
    help="For how long: 12h, 90d, 52w or never.",
)
@click.option("--delegate", is_flag=True, help="May speak for users that it names.")
@click.option("--note", default="", help="What it is for.")
@json_option
def create(  # noqa: PLR0913 - one parameter an option # numpydoc ignore=PR01,RT01
    *,
    owner: str,
    kind: Kind,
    role: str | None,
    instruments: tuple[str, ...],
    expires: timedelta | None,
    delegate: bool,
    note: str,
    as_json: bool,
) -> None:
    """Make a token and show it, this once."""
    given = Role(role or ("bot" if kind == "bot" else "author"))
    forms.check_role(given, kind, delegate=delegate)
    new = forms.make()

    async def work(connection: Connection) -> StoredToken:
        now = await _now(connection)
        token = StoredToken(
            token_id=new.token_id,
            secret_hash=new.secret_hash,
            owner=user_name(owner, "/owner"),
            kind=kind,
            role=given.value,
            instruments=tuple(sorted(set(instruments))) or None,
            delegate=delegate,
            note=note,
            created_at=now,
            expires_at=None if expires is None else now + expires,
            revoked_at=None,
        )
        await tokens.insert(connection, token)
        return token

    made = on_database(work)
    emit(
        {**_shown(made), "token": new.shown},
        f"{new.shown}\n(shown once; {_until(made)})",
        as_json=as_json,
    )


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Expired and revoked ones too.")
@json_option
def list_(*, everything: bool, as_json: bool) -> None:  # numpydoc ignore=PR01,RT01
    """List tokens, the newest first; no secret is kept that could be shown."""

    async def work(connection: Connection) -> list[StoredToken]:
        now = await _now(connection)
        found = await tokens.everyone(connection)
        return [token for token in found if everything or token.in_force(now)]

    found = on_database(work)
    lines = [
        f"{token.token_id}  {token.owner}  {token.kind}/{token.role}"
        f"{'  delegate' if token.delegate else ''}"
        f"{'  ' + ','.join(token.instruments) if token.instruments else ''}"
        f"  {_until(token)}{'  ' + token.note if token.note else ''}"
        for token in found
    ]
    emit([_shown(token) for token in found], "\n".join(lines), as_json=as_json)


@command.command("revoke")
@click.argument("token_id")
@json_option
def revoke(*, token_id: str, as_json: bool) -> None:  # numpydoc ignore=PR01,RT01
    """End a token for good: running services stop taking it within 5 seconds."""
    identifier = forms.token_id(token_id)

    async def work(connection: Connection) -> bool:
        return await tokens.revoke(connection, identifier, await _now(connection))

    if not on_database(work):
        raise FailedError(f"annologd: there is no token {identifier}")
    emit(
        {"token_id": identifier, "revoked": True},
        f"{identifier} is revoked",
        as_json=as_json,
    )


async def _now(connection: Connection) -> datetime:
    # The database's clock is the one that all processes of a site share.
    now: datetime = await connection.fetchval("select now()")
    return now


def _shown(token: StoredToken) -> dict[str, Any]:
    return {
        "token_id": token.token_id,
        "owner": token.owner,
        "kind": token.kind,
        "role": token.role,
        "instruments": token.instruments,
        "delegate": token.delegate,
        "note": token.note,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }


def _until(token: StoredToken) -> str:
    if token.revoked_at is not None:
        return f"revoked {token.revoked_at:%Y-%m-%d %H:%M} UTC"
    if token.expires_at is None:
        return "never expires"
    return f"expires {token.expires_at:%Y-%m-%d %H:%M} UTC"
