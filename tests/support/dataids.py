"""Tables of data IDs, as tests draw and read them."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from annolog.domain.dataid_formats import Format, parse
from annolog.domain.dataid_uploads import Assembled, ExposureName, assemble
from annolog.domain.dataids import DataIdTable, Value, table
from annolog.domain.dimensions import MAX_INTEGER, UNIVERSE
from annolog.domain.entries import Entry
from annolog.domain.instruments import SHIPPED, Instruments
from annolog.domain.vocabulary import Vocabulary

ODD_TEXTS = (
    " i donuts",
    'a "quoted" word',
    "a, b",
    "two\nlines",
    "two\r\nlines",
    "\r",
    "3",
    "-0",
    "1e5",
    "1e400",
    "007",
    "99999999999999999999",
    "true",
    "False",
    "nan",
    "null",
    '"',
    "#",
    "é ☄ 🔭",
    "  ",
    "\ufeff",
    "\u2028",
)
"""What a format may trip over."""

texts = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)
integers = st.integers(-(2**63), MAX_INTEGER)
floats = st.floats(allow_infinity=False)
names = st.one_of(
    st.sampled_from(["comment", "weight", "yes", "null", "a, b", "#", "é", 'x"y', "1"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1).filter(
        lambda name: name.isprintable() and name == name.strip() and len(name) < 99
    ),
)
values: st.SearchStrategy[Value] = st.one_of(
    st.none(), texts, integers, floats, st.booleans()
)
columns_of_values: st.SearchStrategy[st.SearchStrategy[Value]] = st.sampled_from(
    [texts, integers, floats, st.booleans(), values]
)


def _is_further(name: str) -> bool:
    # Hypothesis finds the names of dimensions in the code that it tests.
    return name not in {"obs_id", "seq_num"} and not UNIVERSE.is_dimension(name)


UNRULED = Instruments(
    one.model_copy(update={"obs_id_rule": None}) for one in SHIPPED.values()
)
"""The shipped instruments, but for what their exposures' ids are like."""


@st.composite
def tables(draw: st.DrawFn, *, of_one: bool | None = None) -> DataIdTable:
    """Draw a table of exposures, some of them by detector.

    Parameters
    ----------
    draw
        Hypothesis's.
    of_one
        Whether files leave the instrument out; None: either.
    """
    single = draw(st.booleans()) if of_one is None else of_one
    instruments = st.just("LSSTCam") if single else st.sampled_from(sorted(SHIPPED))
    exposures = st.integers(0, 20) | st.just(MAX_INTEGER)
    keys = draw(
        st.lists(
            st.tuples(instruments, exposures, st.none() | st.integers(0, 3)),
            unique=True,
            max_size=6,
        )
    )
    dimensions = ("instrument", "exposure", "detector")
    columns = draw(st.lists(names, unique=True, max_size=3))
    columns = [name for name in columns if _is_further(name)]
    kinds: dict[str, st.SearchStrategy[Value]] = {
        name: draw(columns_of_values) for name in columns
    }
    rows: list[tuple[dict[str, int | str | None], dict[str, Value]]] = [
        (
            dict(zip(dimensions, key, strict=True)),
            {name: draw(kinds[name] | st.none()) for name in columns},
        )
        for key in keys
    ]
    return table(dimensions, columns, rows, "LSSTCam" if single else None)


def vocabulary_of(
    entries: Iterable[tuple[str, str, dict[str, Any]]],
) -> Vocabulary:
    """Make a vocabulary of entries given as kind, key and fields."""
    return Vocabulary.from_entries(
        Entry(kind, key, UUID(int=n), n, n, fields)
        for n, (kind, key, fields) in enumerate(entries, start=1)
    )


def read(
    content: bytes,
    written: Format = "csv",
    instrument: str | None = "LSSTCam",
    resolved: Mapping[ExposureName, int | str] | None = None,
    instruments: Instruments = UNRULED,
) -> Assembled:
    """Read an upload; any number is an exposure's id unless instruments have rules."""
    return assemble(parse(content, written), instrument, instruments, resolved or {})
