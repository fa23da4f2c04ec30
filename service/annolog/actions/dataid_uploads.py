"""Uploaded lists of data IDs: what their rows name is looked up, all of it at once."""

from collections.abc import Mapping, Sequence

from annolog.actions.resolution import Resolution
from annolog.actions.resolve import Resolver
from annolog.domain.dataid_formats import Format, RawTable, parse
from annolog.domain.dataid_uploads import Assembled, ExposureName, assemble, names_of
from annolog.domain.instruments import Instruments
from annolog.domain.targets import ExposureTarget, encode_part, parse_key
from annolog.storage.large import worked_out

_ROW_BYTES = 40
"""About so many bytes make a row: longer lists are read beside the event loop."""


async def read(
    resolver: Resolver,
    content: bytes,
    written: Format,
    instrument: str | None,
    instruments: Instruments,
) -> Assembled:
    """Make a table out of an uploaded list; nothing is written.

    Parameters
    ----------
    resolver
        Finds exposures by obs_id, and by day_obs and seq_num.
    content, written
        The list and its format.
    instrument
        Instrument of rows that name none; None: all name theirs.
    instruments
        The known ones.

    Raises
    ------
    InvalidError
        With the line of each fault; `annolog.domain.dataid_uploads` says which.
    """
    size = len(content) // _ROW_BYTES
    raw, names = await worked_out(
        size, _read, content, written, instrument, instruments
    )
    found = await looked_up(resolver, names, instruments)
    return await worked_out(size, assemble, raw, instrument, instruments, found)


def _read(
    content: bytes, written: Format, instrument: str | None, instruments: Instruments
) -> tuple[RawTable, Sequence[ExposureName]]:
    raw = parse(content, written)
    return raw, names_of(raw, instrument, instruments)


async def looked_up(
    resolver: Resolver, names: Sequence[ExposureName], instruments: Instruments
) -> Mapping[ExposureName, int | str]:
    """Look up the ids of exposures.

    Parameters
    ----------
    resolver
        Finds exposures.
    names
        How they are named, each once.
    instruments
        The known ones.

    Returns
    -------
    Mapping
        For each name the exposure's id, or a sentence why there is none.
    """
    if not names:
        return {}
    texts = [_text(one) for one in names]
    found = await resolver.resolve(texts, instruments, pointer="")
    return _sorted_out(names, texts, found)


def _text(name: ExposureName) -> str:
    instrument = encode_part(name.instrument)
    if name.obs_id is not None:
        return f"exposure:{instrument}/{encode_part(name.obs_id)}"
    return f"exposure:{instrument}/{name.day_obs}/{name.seq_num}"


def _sorted_out(
    names: Sequence[ExposureName], texts: Sequence[str], found: Resolution
) -> Mapping[ExposureName, int | str]:
    by_text: dict[str, int | str] = {}
    for key, written in found.written.items():
        match parse_key(key):
            case ExposureTarget(exposure_id=int(exposure_id)):
                by_text.update(dict.fromkeys(written, exposure_id))
            case _:
                reason = f"it is known as {key} only, which has no id yet"
                by_text.update(dict.fromkeys(written, reason))
    for problem in found.problems:
        place = int(problem.pointer.strip("/").split("/")[0])
        by_text.setdefault(texts[place], problem.reason)
    return {
        name: by_text.get(text, "is no exposure")
        for name, text in zip(names, texts, strict=True)
    }
