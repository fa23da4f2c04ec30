import pytest

from annolog.domain.errors import (
    ForbiddenError,
    InvalidError,
    UnauthenticatedError,
)
from annolog.domain.flags import Rank
from annolog.domain.roles import (
    NOBODY,
    NOTHING,
    TABLE,
    Action,
    Actor,
    Kind,
    Role,
    Subject,
    allowed,
    permissions,
    require,
    roles_of,
    user_name,
)


def an_actor(
    role: Role = Role.AUTHOR,
    user: str = "ada",
    kind: Kind = "human",
    *,
    instruments: frozenset[str] | None = None,
    on_behalf_of: str | None = None,
    settle: bool = False,
) -> Actor:
    return Actor(
        user,
        kind,
        roles_of(role, kind),
        instruments,
        "token:al_1",
        on_behalf_of,
        settle,
    )


ACTORS = {
    "nobody": NOBODY,
    "viewer": an_actor(Role.VIEWER),
    "author": an_actor(Role.AUTHOR),
    "bot": an_actor(Role.BOT, "donuts", "bot"),
    "curator": an_actor(Role.CURATOR),
    "importer": an_actor(Role.IMPORTER),
    "admin": an_actor(Role.ADMIN),
}
OWN = {
    name: Subject(actor.author, actor.kind, frozenset({"LSSTCam"}))
    for name, actor in ACTORS.items()
}
PERSONS = Subject("bea", "human", frozenset({"LSSTCam"}))
BOTS = Subject("streaks", "bot", frozenset({"LSSTCam"}))

# Who may, for: nothing in particular or one's own, a person's, a bot's statement.
EXPECTED: dict[Action, tuple[str, str, str]] = {
    Action.READ: ("nobody viewer author bot curator importer admin",) * 3,
    Action.CREATE: ("author bot curator importer admin",) * 3,
    Action.ANNOUNCE: ("author bot curator importer admin",) * 3,
    Action.CHECK: ("author bot curator importer admin",) * 3,
    # Who keeps a set is a question of its own; here there is none yet.
    Action.PUBLISH: ("author bot curator importer admin",) * 3,
    Action.SHARE: ("author bot curator importer admin",) * 3,
    Action.RELEASE: ("curator admin",) * 3,
    Action.EDIT: ("author bot curator importer admin", "", ""),
    Action.RETRACT: (
        "author bot curator importer admin",
        "curator admin",
        "curator admin",
    ),
    Action.RESTORE: (
        "author bot curator importer admin",
        "curator admin",
        "curator admin",
    ),
    Action.MEND: (
        "author bot curator importer admin",
        "curator admin",
        "curator admin",
    ),
    Action.REVIEW: (
        "",
        "author curator importer admin",
        "author curator importer admin",
    ),
    Action.SETTLE: ("curator admin",) * 3,
    Action.DEFINE: ("curator admin",) * 3,
    Action.CONFIGURE: ("admin",) * 3,
    Action.REDACT: ("admin",) * 3,
    Action.IMPORT: ("importer",) * 3,
    Action.ADMINISTER: ("admin",) * 3,
}


@pytest.mark.parametrize("action", Action)
def test_the_table_is_as_spelled_out(action: Action) -> None:
    for name, actor in ACTORS.items():
        for subject, words in zip(
            (OWN[name], PERSONS, BOTS), EXPECTED[action], strict=True
        ):
            verdict = allowed(actor, action, subject)
            wanted = name in words.split()
            assert (verdict is True) == wanted, (name, action, subject, verdict)
            assert wanted or (isinstance(verdict, str) and verdict)


def test_every_action_has_a_line_in_the_table() -> None:
    assert set(TABLE) == set(Action) == set(EXPECTED)


@pytest.mark.parametrize(
    "action", [Action.EDIT, Action.RETRACT, Action.RESTORE, Action.MEND, Action.REVIEW]
)
def test_a_bot_never_touches_a_persons_statement_whatever_its_roles(
    action: Action,
) -> None:
    bot = Actor("donuts", "bot", frozenset(Role))
    assert allowed(bot, action, PERSONS) is not True
    # Nor where the names are equal: the kind makes them two.
    assert allowed(bot, action, Subject("donuts", "human")) is not True


def test_a_person_named_like_a_bot_does_not_own_its_statements() -> None:
    person = an_actor(user="donuts")
    assert allowed(person, Action.EDIT, Subject("donuts", "bot")) is not True
    assert allowed(person, Action.REVIEW, Subject("donuts", "bot")) is True


def test_a_limit_to_instruments_holds_for_each_target() -> None:
    actor = an_actor(instruments=frozenset({"LATISS"}))
    inside = Subject(instruments=frozenset({"LATISS"}))
    both = Subject(instruments=frozenset({"LATISS", "LSSTCam"}))
    without = Subject(instruments=frozenset({None}))
    assert allowed(actor, Action.CREATE, inside) is True
    assert allowed(actor, Action.CREATE) is True
    assert allowed(actor, Action.READ, both) is True
    assert "LSSTCam" in str(allowed(actor, Action.CREATE, both))
    assert "without an instrument" in str(allowed(actor, Action.CREATE, without))


def test_a_delegate_acts_as_whom_it_speaks_for() -> None:
    actor = an_actor(user="love", on_behalf_of="bea")
    assert (actor.author, actor.sent_by) == ("bea", "love")
    assert allowed(actor, Action.EDIT, PERSONS) is True
    assert allowed(actor, Action.EDIT, Subject("love", "human")) is not True
    assert an_actor().sent_by is None


@pytest.mark.parametrize(
    ("role", "kind", "whole", "own", "rank"),
    [
        (Role.AUTHOR, "human", False, False, Rank.HUMAN),
        (Role.AUTHOR, "human", True, True, Rank.HUMAN),
        (Role.CURATOR, "human", False, False, Rank.HUMAN),
        (Role.CURATOR, "human", True, False, Rank.CURATOR),
        (Role.CURATOR, "human", False, True, Rank.CURATOR),
        (Role.BOT, "bot", True, True, Rank.BOT),
    ],
)
def test_only_a_curator_who_settles_ranks_as_one(
    *, role: Role, kind: Kind, whole: bool, own: bool, rank: Rank
) -> None:
    assert an_actor(role, kind=kind, settle=whole).rank(settle=own) is rank


def test_a_refusal_names_the_role_that_is_needed() -> None:
    with pytest.raises(ForbiddenError, match="needs the role curator") as refused:
        require(an_actor(), Action.RETRACT, PERSONS)
    assert "'bea'" in refused.value.detail
    assert refused.value.extra == {"action": "retract"}
    with pytest.raises(ForbiddenError, match="role curator or admin"):
        require(an_actor(), Action.DEFINE)


def test_somebody_without_a_name_is_asked_for_it() -> None:
    require(NOBODY, Action.READ)
    with pytest.raises(UnauthenticatedError, match="X-Annolog-User"):
        require(NOBODY, Action.CREATE)


def test_permissions_tell_beforehand_what_require_will_say() -> None:
    mine = permissions(an_actor())
    assert mine["edit"]
    assert mine["review"]
    assert not mine["redact"]
    theirs = permissions(an_actor(), PERSONS)
    assert not theirs["edit"]
    assert theirs["review"]
    assert not any(v for k, v in permissions(NOBODY).items() if k != "read")
    assert permissions(an_actor(), NOTHING) == mine


@pytest.mark.parametrize(
    "name", ["a", "Müller", "jdoe@summit-host", "x" * 128, "李 明"]
)
def test_user_names_of_all_the_world_are_kept_as_they_are(name: str) -> None:
    assert user_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", " ", " a", "a ", "a\nb", "a\x00", "\x7f", "x" * 129, "a\u202eb", "\ud800"],
)
def test_user_names_that_deceive_are_refused(name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        user_name(name, "#X-Annolog-User")
    assert refused.value.problems[0].pointer == "#X-Annolog-User"


def test_sets_are_for_those_who_keep_them_and_for_curators() -> None:
    kept = Subject(keepers=frozenset({"bea", "donuts"}))
    for action in (Action.PUBLISH, Action.SHARE):
        assert allowed(an_actor(user="bea"), action, kept) is True
        assert allowed(an_actor(Role.BOT, "donuts", "bot"), action, kept) is True
        assert allowed(an_actor(Role.CURATOR), action, kept) is True
        refusal = allowed(an_actor(), action, kept)
        assert isinstance(refusal, str)
        assert "bea, donuts" in refusal
        assert allowed(an_actor(Role.VIEWER, user="bea"), action, kept) is not True


def test_no_program_releases_a_set() -> None:
    bot = an_actor(Role.CURATOR, "donuts", "bot")
    assert allowed(bot, Action.RELEASE) == "is for people only"
