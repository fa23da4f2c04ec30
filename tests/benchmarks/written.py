"""How values become JSON, and moments what they are elsewhere: as expressions of SQL.

The columns are those of tables that the benchmark makes; nothing of a user is here.
"""

UTC = "interval '37 seconds'"
"""Between TAI and UTC in all these years."""


def utc(moment: str) -> str:
    """Write TAI as records have moments: in UTC."""
    return f"""to_char({moment} - {UTC}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def tai(moment: str) -> str:
    return f"""to_char({moment}, 'YYYY-MM-DD"T"HH24:MI:SS.US')"""


def moment(tai: str) -> str:
    return f"({tai} - {UTC}) at time zone 'UTC'"


def clock(tai: str) -> str:
    return f"(extract(epoch from {tai} - {UTC}) * 1000000)::bigint"


def words(text: str) -> str:
    """Write text as JSON; none of ours has anything that must be escaped."""
    return f"""coalesce('"' || ({text}) || '"', 'null')"""


def object_of(**members: str) -> str:
    """Put an object together from expressions that are the JSON of its members."""
    parts = [f"""'"{name}":' || {members[name]}""" for name in sorted(members)]
    return "('{' || " + " || ',' || ".join(parts) + " || '}')"


def utf8(text: str) -> str:
    return f"convert_to({text}, 'UTF8')"


NULL = "'null'"
