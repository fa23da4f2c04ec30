"""How lists are written: JSON, NDJSON or CSV, round the stored bytes.

Records are spliced, not parsed: an item is the stored body with a few members of
this site put in front. CSV alone reads the bodies, as it needs single fields.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import MediaType, Request, Response

from annolog.domain.errors import InvalidError
from annolog.domain.queries import Format
from annolog.domain.states import TargetState
from annolog.storage.history_lists import ReviewRow
from annolog.storage.lists import AnnotationRow, ListedRow
from annolog.storage.state_lists import StateRow

MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
}
"""What each format is called in `Accept` and `Content-Type` (text adds UTF-8)."""

ANNOTATION_COLUMNS = (
    "number",
    "annotation_id",
    "revision_id",
    "operation",
    "current",
    "counted",
    "author",
    "author_kind",
    "rank",
    "created_at",
    "flag",
    "tags",
    "level",
    "targets",
    "target_count",
    "text",
    "urls",
    "reply_to",
    "observed_begin",
    "observed_end",
    "cause",
    "seconds_lost",
    "assignee",
    "check",
    "site_id",
    "clock",
)
"""Columns of annotations in CSV. New ones are only ever added at the end."""

REVIEW_COLUMNS = (
    "number",
    "review_id",
    "annotation_id",
    "revision_id",
    "verdict",
    "author",
    "rank",
    "created_at",
    "targets",
    "reason",
    "site_id",
    "clock",
)
"""Columns of reviews in CSV. New ones are only ever added at the end."""

STATE_COLUMNS = (
    "key",
    "kind",
    "instrument",
    "day_obs",
    "seq_num",
    "exposure_id",
    "detector",
    "dataset_id",
    "names",
    "flag",
    "disputed",
    "bots_differ",
    "tags",
    "notes",
    "decided_by",
    "outvoted",
    "follow_ups",
    "number",
    "site_id",
)
"""Columns of target states in CSV. New ones are only ever added at the end."""

_BOOLEANS = {True: b"true", False: b"false"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def chosen(request: Request[Any, Any, Any]) -> Format:
    """Say which format an answer shall have.

    `format=` decides; without it the media type of `Accept` with the greatest weight
    that is offered; JSON where all are equal, and where none is offered.

    Raises
    ------
    InvalidError
        `format` is none of the three.
    """
    asked = request.query_params.getall("format", [])
    if asked:
        for name in MEDIA_TYPES:
            if asked == [name]:
                return name
        raise InvalidError.at(
            "?format", asked[-1], "give one of json, ndjson, csv", "unknown_format"
        )
    # What most clients send: solving it takes as long as the rest of the header.
    if request.headers.get("accept", "*/*") in {"*/*", "application/json"}:
        return "json"
    offers: dict[str, Format] = {
        "application/json": "json",
        "application/x-ndjson": "ndjson",
        "application/ndjson": "ndjson",
        "text/csv": "csv",
    }
    best = request.accept.best_match(list(offers), default="application/json")
    return offers[best or "application/json"]


def annotation_json(row: AnnotationRow | ListedRow) -> bytes:
    """Write a revision as the API shows it, round its stored bytes."""
    head = b'{"number":%d,"current":%b,"counted":%b,' % (
        row.number,
        _BOOLEANS[row.current],
        _BOOLEANS[row.counted],
    )
    return _spliced(head, row.body, row.keys)


def review_json(row: ReviewRow) -> bytes:
    """Write a review as the API shows it, round its stored bytes."""
    return _spliced(b'{"number":%d,' % row.number, row.body, row.keys)


def _spliced(head: bytes, body: bytes, keys: bytes | None) -> bytes:
    if keys is None:
        return head + body[1:]
    # A record whose targets are a list of their own may still write "targets":null.
    body = body.replace(b',"targets":null', b"", 1)
    return b'%b"targets":%b,%b' % (head, keys, body[1:])


def state_json(row: StateRow) -> bytes:
    """Write a target's state as the API shows it."""
    return TargetState(**row._asdict()).model_dump_json().encode()


def annotation_fields(row: AnnotationRow | ListedRow) -> dict[str, Any]:
    """Read the fields of a revision that CSV writes."""
    fields: dict[str, Any] = msgspec.json.decode(annotation_json(row))
    observed = fields.get("observed_at") or {}
    fields["observed_begin"] = observed.get("begin")
    fields["observed_end"] = observed.get("end")
    return fields


def review_fields(row: ReviewRow) -> dict[str, Any]:
    """Read the fields of a review that CSV writes."""
    fields: dict[str, Any] = msgspec.json.decode(review_json(row))
    return fields


def state_fields(row: StateRow) -> dict[str, Any]:
    """Give the fields of a state that CSV writes."""
    return TargetState(**row._asdict()).model_dump(mode="json")


def csv_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Write a table (RFC 4180, UTF-8, with a line of names).

    Values of a list are joined by blanks. Text that a spreadsheet would run as a
    formula gets a leading apostrophe; numbers are never touched.
    """
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return sheet.getvalue().encode()


def _cell(value: Any) -> str:  # noqa: ANN401 - any JSON value is a cell
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        value = " ".join(str(part) for part in value)
    elif isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, sort_keys=True)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def answer(
    request: Request[Any, Any, Any],
    content: bytes,
    wanted: Format,
    cursor: str | None,
    *,
    scan_stopped: bool = False,
) -> Response[bytes]:
    """Wrap a page: content type, and where the list goes on.

    Parameters
    ----------
    request
        What was asked; the link repeats its parameters.
    content
        The page as written.
    wanted
        Its format.
    cursor
        Where to go on; None at the end.
    scan_stopped
        Whether the search stopped early; formats without an envelope say it in the
        header `X-Annolog-Scan-Stopped`.
    """
    headers = {"Vary": "Accept"}
    if cursor is not None:
        headers["Link"] = f'<{_next(request, cursor)}>; rel="next"'
    if scan_stopped:
        headers["X-Annolog-Scan-Stopped"] = "true"
    return Response(
        content,
        media_type=MEDIA_TYPES[wanted] if wanted != "json" else MediaType.JSON,
        headers=headers,
    )


def _next(request: Request[Any, Any, Any], cursor: str) -> str:
    # Relative to the host: behind a proxy we do not know our own name for certain.
    kept = [(k, v) for k, v in request.query_params.multi_items() if k != "cursor"]
    return f"{request.url.path}?{urlencode([*kept, ('cursor', cursor)])}"


def envelope(
    items: Iterable[bytes],
    *,
    count: int | str | None,
    cursor: str | None,
    scan_stopped: bool,
) -> bytes:
    """Write a JSON page: {"items", "count"?, "next", "scan_stopped"?}."""
    encode = msgspec.json.encode
    tail = [b'"next":' + encode(cursor)]
    if count is not None:
        tail.insert(0, b'"count":' + encode(count))
    if scan_stopped:
        tail.append(b'"scan_stopped":true')
    return b'{"items":[%b],%b}' % (b",".join(items), b",".join(tail))
