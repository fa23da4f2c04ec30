"""Who may do what: one table of pure predicates.

An `Actor` is who calls, as `auth` found out. A `Subject` is what an action is about,
as far as permission asks. `allowed` answers with a reason, `require` raises it.

| action | who |
| --- | --- |
| read | viewer, and whoever has any other role |
| create, announce, check | author, bot |
| edit (text, flag, time, cause) | author, bot: their own |
| retract, restore | author, bot: their own; curator: anyone's |
| mend (tags, links, targets) | author, bot: their own; curator: anyone's |
| review | author, curator: people only, and never their own |
| settle (a flag of rank curator) | curator, people only |
| define (flags, tags, tag vocabularies, same_as) | curator, admin |
| configure (instruments, policies, aliases) | admin |
| publish (versions of a set) | author, bot: new sets and those they keep; curator |
| share (owner and editors of a set) | its owner; curator |
| release (a version of a set) | curator, people only |
| redact | admin |
| import (set author and time) | importer |
| administer (tokens) | admin |

A bot never touches a person's statement, whatever its roles. `same_as` belongs to the
curator's triage; instruments, policies and aliases change for everyone what has been
said already, so they are the admin's.

A caller may be limited to instruments: each target that is written about must then be
of one of them (a dataset or a collection, having none, is outside of every limit).
Reading is never limited.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from annolog.domain.errors import ForbiddenError, InvalidError, UnauthenticatedError
from annolog.domain.flags import Rank

MAX_USER_CHARACTERS = 128
"""Characters of a user name."""

Kind: TypeAlias = Literal["human", "bot"]
"""Whether a person or a program speaks."""


class Role(StrEnum):
    """What a caller may be."""

    VIEWER = "viewer"
    AUTHOR = "author"
    BOT = "bot"
    CURATOR = "curator"
    IMPORTER = "importer"
    ADMIN = "admin"


class Action(StrEnum):
    """What may be permitted or not."""

    READ = "read"
    CREATE = "create"
    EDIT = "edit"
    RETRACT = "retract"
    RESTORE = "restore"
    MEND = "mend"
    REVIEW = "review"
    SETTLE = "settle"
    ANNOUNCE = "announce"
    CHECK = "check"
    DEFINE = "define"
    CONFIGURE = "configure"
    PUBLISH = "publish"
    SHARE = "share"
    RELEASE = "release"
    REDACT = "redact"
    IMPORT = "import"
    ADMINISTER = "administer"


class Actor(msgspec.Struct, frozen=True):
    """Who calls.

    Attributes
    ----------
    user
        Who has proved to be calling.
    kind
        "human" or "bot".
    roles
        All roles, those implied by others included (`roles_of`).
    instruments
        The only instruments whose targets may be written about; None means all.
    authenticated_by
        How the caller was known, for the record ("token:al_3f0c2a9b", "none").
    on_behalf_of
        The person for whom a delegate calls; None otherwise.
    settle
        The caller asked, for the whole request, that flags settle.
    named
        False for somebody of whom nothing is known, who may only read.
    """

    user: str
    kind: Kind
    roles: frozenset[Role]
    instruments: frozenset[str] | None = None
    authenticated_by: str = "none"
    on_behalf_of: str | None = None
    settle: bool = False
    named: bool = True

    @property
    def author(self) -> str:
        """Whose words it are: those of whom a delegate speaks for, else the user's.

        Returns
        -------
        str
            A user name.
        """
        return self.on_behalf_of or self.user

    @property
    def sent_by(self) -> str | None:
        """Who sent it, where that is not the author; the `actor` of a record.

        Returns
        -------
        str or None
            A user name; None where author and sender are one.
        """
        return self.user if self.on_behalf_of else None

    def rank(self, *, settle: bool = False) -> Rank:
        """Say with which rank this caller votes.

        Parameters
        ----------
        settle
            Whether the statement itself asks to settle.

        Returns
        -------
        Rank
            Curator only for a curator who asks to settle; a curator votes as a
            person otherwise, and so does anybody who asks without the role (whom
            `require` with `Action.SETTLE` refuses).
        """
        if self.kind == "bot":
            return Rank.BOT
        if Role.CURATOR in self.roles and (settle or self.settle):
            return Rank.CURATOR
        return Rank.HUMAN


NOBODY = Actor("anonymous", "human", frozenset({Role.VIEWER}), named=False)
"""A reader on loopback who gave no name."""


class Subject(msgspec.Struct, frozen=True):
    """What an action is about, as far as permission asks.

    Attributes
    ----------
    author
        Whose statement it is; None where there is none yet.
    author_kind
        "human" or "bot"; None where there is no statement yet.
    instruments
        Instruments of all targets that are written about; None among them stands
        for targets without an instrument.
    keepers
        Users who keep a data-ID set; None where there is no such set yet.
    """

    author: str | None = None
    author_kind: str | None = None
    instruments: frozenset[str | None] = frozenset()
    keepers: frozenset[str] | None = None


NOTHING = Subject()
"""For actions that are about no statement and no target."""

_Verdict: TypeAlias = bool | str


def roles_of(role: Role, kind: Kind) -> frozenset[Role]:
    """Give a role with all that it implies.

    Parameters
    ----------
    role
        The role that was given.
    kind
        Who has it: what makes a person an author makes a program a bot.

    Returns
    -------
    frozenset of Role
        Always with viewer. Admins are curators too, and curators and importers are
        authors.
    """
    writer = Role.BOT if kind == "bot" else Role.AUTHOR
    match role:
        case Role.VIEWER:
            return frozenset({Role.VIEWER})
        case Role.AUTHOR | Role.BOT:
            return frozenset({Role.VIEWER, writer})
        case Role.CURATOR:
            return frozenset({Role.VIEWER, writer, role})
        case Role.IMPORTER:
            return frozenset({Role.VIEWER, writer, role})
        case Role.ADMIN:
            return frozenset({Role.VIEWER, writer, Role.CURATOR, role})


def user_name(text: str, pointer: str = "/user") -> str:
    """Check that a text can be a user name.

    Parameters
    ----------
    text
        The name as sent; kept as it is.
    pointer
        Where it stood, for the error.

    Returns
    -------
    str
        The same text.

    Raises
    ------
    InvalidError
        It is empty, longer than `MAX_USER_CHARACTERS`, begins or ends with a blank,
        or holds control characters or lone surrogates.
    """
    if not 1 <= len(text) <= MAX_USER_CHARACTERS:
        reason = f"A user name has 1 to {MAX_USER_CHARACTERS} characters."
    elif not text.isprintable():
        reason = "A user name has no control or other invisible characters."
    elif text != text.strip():
        reason = "A user name neither begins nor ends with a blank."
    else:
        return text
    raise InvalidError.at(pointer, text, reason, "user_name")


# ------------------------------------------------------------------ the table


def _has(*roles: Role) -> Callable[[Actor, Subject], _Verdict]:
    words = " or ".join(role.value for role in roles)

    def decide(actor: Actor, _: Subject) -> _Verdict:
        return not actor.roles.isdisjoint(roles) or f"needs the role {words}"

    return decide


def _own(actor: Actor, subject: Subject) -> bool:
    return subject.author == actor.author and subject.author_kind == actor.kind


_write = _has(Role.AUTHOR, Role.BOT)


def _edit(actor: Actor, subject: Subject) -> _Verdict:
    if _write(actor, subject) is not True:
        return _write(actor, subject)
    return _own(actor, subject) or (
        f"is open to its author {subject.author!r} alone: reply, vote or review instead"
    )


def _care(actor: Actor, subject: Subject) -> _Verdict:
    if Role.CURATOR in actor.roles:
        return True
    if _write(actor, subject) is not True:
        return _write(actor, subject)
    return _own(actor, subject) or (
        f"needs the role curator, as it is the statement of {subject.author!r}"
    )


def _review(actor: Actor, subject: Subject) -> _Verdict:
    if actor.kind == "bot":
        return "is for people only"
    if _own(actor, subject):
        return "is never for one's own statement: edit or retract it instead"
    return _has(Role.AUTHOR, Role.CURATOR)(actor, subject)


def _keep(actor: Actor, subject: Subject) -> _Verdict:
    if Role.CURATOR in actor.roles or _write(actor, subject) is not True:
        return _write(actor, subject)
    if subject.keepers is None or actor.author in subject.keepers:
        return True
    keepers = ", ".join(sorted(subject.keepers))
    return f"is open to those who keep this set ({keepers:.200}) and to curators"


def _settle(actor: Actor, subject: Subject) -> _Verdict:
    if actor.kind == "bot":
        return "is for people only"
    return _has(Role.CURATOR)(actor, subject)


TABLE: Mapping[Action, Callable[[Actor, Subject], _Verdict]] = MappingProxyType(
    {
        Action.READ: _has(*Role),
        Action.CREATE: _write,
        Action.EDIT: _edit,
        Action.RETRACT: _care,
        Action.RESTORE: _care,
        Action.MEND: _care,
        Action.REVIEW: _review,
        Action.SETTLE: _settle,
        Action.ANNOUNCE: _write,
        Action.CHECK: _write,
        Action.DEFINE: _has(Role.CURATOR, Role.ADMIN),
        Action.CONFIGURE: _has(Role.ADMIN),
        Action.PUBLISH: _keep,
        Action.SHARE: _keep,
        Action.RELEASE: _settle,
        Action.REDACT: _has(Role.ADMIN),
        Action.IMPORT: _has(Role.IMPORTER),
        Action.ADMINISTER: _has(Role.ADMIN),
    }
)
"""What each action asks of its actor and subject: True, or why not."""

_TOUCHES = frozenset(
    {Action.EDIT, Action.RETRACT, Action.RESTORE, Action.MEND, Action.REDACT}
)

_UNLIMITED = frozenset({Action.READ, Action.ADMINISTER})


def allowed(actor: Actor, action: Action, subject: Subject = NOTHING) -> bool | str:
    """Say whether somebody may do something.

    Parameters
    ----------
    actor
        Who.
    action
        What.
    subject
        About what.

    Returns
    -------
    bool or str
        True, or the reason why not: the end of a sentence that begins with the
        action. Compare with `is True`: a reason is a true value as well.
    """
    if not actor.named and action is not Action.READ:
        return "needs a caller who is known"
    if action in _TOUCHES and actor.kind == "bot" and subject.author_kind == "human":
        return "of a person's statement is closed to bots"
    verdict = TABLE[action](actor, subject)
    if verdict is not True or action in _UNLIMITED or actor.instruments is None:
        return verdict
    outside = sorted(
        f"targets of {name}" if name is not None else "targets without an instrument"
        for name in subject.instruments - actor.instruments
    )
    if outside:
        limits = ", ".join(sorted(actor.instruments)) or "none"
        return f"is limited to the instruments {limits} and not for {outside[0]}"
    return True


def require(actor: Actor, action: Action, subject: Subject = NOTHING) -> None:
    """Refuse what somebody may not do.

    Parameters
    ----------
    actor
        Who.
    action
        What.
    subject
        About what.

    Raises
    ------
    UnauthenticatedError
        Nothing is known of the caller, and this is more than reading.
    ForbiddenError
        The caller is known and may not; the sentence says which role is needed.
    """
    verdict = allowed(actor, action, subject)
    if verdict is True:
        return
    if not actor.named:
        raise UnauthenticatedError(
            f"To {action.value} say who you are: send your name in the header"
            f" X-Annolog-User.",
            code="caller_unnamed",
        )
    have = ", ".join(sorted(role.value for role in actor.roles)) or "none"
    raise ForbiddenError(
        f"To {action.value} {verdict}; {actor.author!r} has the roles: {have}.",
        extra={"action": action.value},
    )


def permissions(actor: Actor, subject: Subject = NOTHING) -> dict[str, bool]:
    """List what somebody may do, for `/me` and the `allowed` member of a target.

    Parameters
    ----------
    actor
        Who.
    subject
        About what; with none, what concerns somebody's own statement counts.

    Returns
    -------
    dict of str to bool
        Every action, in the order of the table.
    """
    about = subject
    if about.author is None:
        about = Subject(actor.author, actor.kind, subject.instruments)
    return {
        action.value: allowed(
            actor,
            action,
            subject if action is Action.REVIEW else about,
        )
        is True
        for action in TABLE
    }
