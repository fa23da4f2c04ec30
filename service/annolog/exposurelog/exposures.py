"""What the butlers have, and what is configured, over HTTP."""

import asyncio
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from annolog.api.contract import ListOf, contract
from annolog.api.direct import DirectRoute
from annolog.domain.errors import AnnologError
from annolog.domain.registries import (
    MAX_REGISTRIES,
    ORDER_FIELDS,
    ExposureQuery,
)
from annolog.exposurelog import answers, problems
from annolog.exposurelog.models import TaiMoment
from annolog.exposurelog.parameters import (
    MOST,
    Integer,
    Moment,
    Text,
    Texts,
    check_order,
    read_query,
)
from annolog.runtime import Runtime

_NUMBERS = range(1, MAX_REGISTRIES + 1)


class Exposure(BaseModel):
    """An exposure as a butler has it."""

    obs_id: str = Field(description="Observation ID.")
    id: int = Field(description="The butler's integer, unique within the instrument.")
    instrument: str = Field(description="Short name of the instrument, e.g. LSSTCam.")
    observation_type: str | None = Field(description="For instance science or bias.")
    observation_reason: str | None = Field(description="Why it was taken.")
    day_obs: int | None = Field(description="Night, YYYYMMDD.")
    seq_num: int | None = Field(description="Number in the night.")
    group_name: str | None = Field(description="The group that it belongs to.")
    target_name: str | None = Field(description="What it looked at.")
    science_program: str | None = Field(description="The programme it was taken for.")
    tracking_ra: float | None = Field(description="Right ascension, degrees.")
    tracking_dec: float | None = Field(description="Declination, degrees.")
    sky_angle: float | None = Field(description="Angle on the sky, degrees.")
    timespan_begin: TaiMoment | None = Field(description="Begin: TAI, without a zone.")
    timespan_end: TaiMoment | None = Field(description="End: TAI, without a zone.")


class Instruments(BaseModel):
    """The instruments of each butler; none where there is no butler, or it is away."""

    butler_instruments_1: list[str] = Field(description="Those of the first butler.")
    butler_instruments_2: list[str] = Field(description="Those of the second butler.")
    butler_instruments_3: list[str] = Field(description="Those of the third butler.")


class Configuration(BaseModel):
    """What is configured here."""

    site_id: str = Field(description="This site.")
    butler_uri_1: str = Field(description="Where the first butler is; empty for none.")
    butler_uri_2: str = Field(description="Where the second butler is.")
    butler_uri_3: str = Field(description="Where the third butler is.")


class ExposuresQuery(BaseModel):
    """Which exposures are asked for, in which order, and which of them."""

    model_config = ConfigDict(frozen=True)

    instrument: Text = Field(description="Instrument, e.g. LSSTCam.")
    registry: Annotated[int, Field(ge=1, le=MAX_REGISTRIES)] = Field(
        1, description="Number of the butler."
    )
    min_day_obs: Integer | None = Field(None, description="First night, YYYYMMDD.")
    max_day_obs: Integer | None = Field(
        None, description="Night after the last one; any integer, also 20261132."
    )
    min_seq_num: Integer | None = Field(None, description="Least sequence number.")
    max_seq_num: Integer | None = Field(
        None, description="One more than the greatest sequence number."
    )
    group_names: Texts = Field(None, description="Groups: any of them.")
    observation_reasons: Texts = Field(None, description="Reasons: any of them.")
    observation_types: Texts = Field(None, description="Types: any of them.")
    min_date: Moment | None = Field(
        None, description="Ends after this; TAI, without a zone."
    )
    max_date: Moment | None = Field(
        None, description="Begins before this; TAI, without a zone."
    )
    order_by: Texts = Field(
        None,
        description="Fields to sort by but for the instrument, `-` before a name for "
        "descending. `id` is added as the last one unless it is there.",
    )
    offset: Annotated[int, Field(ge=0), AfterValidator(lambda n: min(n, MOST))] = Field(
        0, description="How many exposures to skip."
    )
    limit: Annotated[int, Field(ge=1), AfterValidator(lambda n: min(n, MOST))] = Field(
        50, description="How many exposures to give at most."
    )

    def query(self) -> ExposureQuery:
        """Give it as a butler is asked."""
        return ExposureQuery(
            self.instrument,
            self.min_day_obs,
            self.max_day_obs,
            self.min_seq_num,
            self.max_seq_num,
            self.group_names or (),
            self.observation_reasons or (),
            self.observation_types or (),
            self.min_date,
            self.max_date,
            self.order_by or (),
            self.offset,
            self.limit,
        )


@DirectRoute(
    problems.PREFIX + "/exposures",
    http_method="GET",
    operation_id="ExposurelogFindExposures",
    summary="Find exposures",
    description="Exposures of one instrument as a butler has them; none of an "
    "instrument that it does not know. 404 where there is no butler of that number.",
    exception_handlers=problems.HANDLERS,
    **contract(
        asks=ExposuresQuery,
        gives={200: ListOf(Exposure)},
        errors=problems.Detail,
        missing=True,
    ),
)
async def find_exposures(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with exposures."""
    asked = read_query(request, ExposuresQuery)
    check_order(asked.order_by or (), ORDER_FIELDS)
    found = await runtime.registries.exposures(asked.registry, asked.query())
    return _json(found)


@DirectRoute(
    problems.PREFIX + "/instruments",
    http_method="GET",
    operation_id="ExposurelogGetInstruments",
    summary="List instruments",
    description="The instruments of each butler.",
    exception_handlers=problems.HANDLERS,
    **contract(gives={200: Instruments}, errors=problems.Detail),
)
async def get_instruments(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    """Answer with the instruments of all butlers."""
    found = await asyncio.gather(*(_instruments(runtime, n) for n in _NUMBERS))
    names = zip(_NUMBERS, found, strict=True)
    return _json({f"butler_instruments_{n}": known for n, known in names})


async def _instruments(runtime: Runtime, number: int) -> list[str]:
    try:
        return await runtime.registries.instruments(number)
    except AnnologError:  # there is none, or it is away: nobody else has to suffer
        return []


@DirectRoute(
    problems.PREFIX + "/configuration",
    http_method="GET",
    operation_id="ExposurelogGetConfiguration",
    summary="See what is configured",
    description="This site, and where its butlers are.",
    exception_handlers=problems.HANDLERS,
    **contract(gives={200: Configuration}, errors=problems.Detail),
)
async def get_configuration(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    """Answer with the configuration."""
    uris = zip(_NUMBERS, runtime.registries.uris, strict=True)
    shown = {f"butler_uri_{n}": _without_password(uri) for n, uri in uris}
    return _json({"site_id": runtime.site.site_id, **shown})


# -------------------------------------------------------------------- details


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    who, at, place = parts.netloc.rpartition("@")
    if ":" not in who:
        return uri
    netloc = f"{who.partition(':')[0]}{at}{place}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, parts.fragment))


def _json(value: object) -> Response[bytes]:
    return Response(msgspec.json.encode(value), media_type=answers.JSON)


HANDLERS = (find_exposures, get_instruments, get_configuration)
"""All routes of this module."""
