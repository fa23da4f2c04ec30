"""Pages for people: what the API is, and its contract to read and to try."""

import re
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest

from annolog.api import openapi
from annolog.api.direct import DirectRoute
from annolog.app import create_app
from annolog.exposurelog import exposures, messages, pages
from annolog.settings import Settings

APP = create_app(Settings())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of an application that has not started: pages need no database."""
    transport = httpx.ASGITransport(cast("Any", APP))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as one:
        yield one


@pytest.mark.parametrize("path", ["/exposurelog", "/exposurelog/"])
async def test_the_first_page_says_what_it_is_and_leads_on(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "Exposure log" in answer.text
    assert "OpenAPI" in answer.text
    assert 'href="/exposurelog/docs"' in answer.text


@pytest.mark.parametrize(
    ("path", "contract"),
    [
        ("/exposurelog/docs", "/exposurelog/openapi.json"),
        ("/exposurelog/docs/", "/exposurelog/openapi.json"),
        ("/annolog/docs", "/annolog/openapi.json"),
    ],
)
async def test_an_interactive_page_has_all_it_needs_from_here(
    client: httpx.AsyncClient, path: str, contract: str
) -> None:
    page = await client.get(path)
    assert page.status_code == 200
    assert f'data-contract="{contract}"' in page.text
    links = set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert contract in links
    assert len(links) == 5
    for link in links:
        assert link.startswith("/")
        answer = await client.get(link)
        assert answer.status_code == 200
        assert answer.content


async def test_files_of_a_page_are_what_they_are_called(
    client: httpx.AsyncClient,
) -> None:
    kinds = {
        "start.js": "text/javascript; charset=utf-8",
        "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
        "swagger-ui.css": "text/css; charset=utf-8",
        "favicon-32x32.png": "image/png",
    }
    for name, kind in kinds.items():
        answer = await client.get(f"/annolog/docs/{name}")
        assert answer.headers["content-type"] == kind
        assert "max-age" in answer.headers["cache-control"]


@pytest.mark.parametrize("name", ["index.html", "%2e%2e%2fdocs.py", "docs.py"])
@pytest.mark.parametrize("path", ["/annolog/docs", "/exposurelog/docs"])
async def test_no_other_file_is_given(
    client: httpx.AsyncClient, path: str, name: str
) -> None:
    answer = await client.get(f"{path}/{name}")
    assert answer.status_code == 404
    assert answer.json()["detail"]


@pytest.mark.parametrize("path", ["/annolog/docs", "/exposurelog/docs"])
async def test_a_page_runs_no_code_but_ours(
    client: httpx.AsyncClient, path: str
) -> None:
    page = await client.get(path)
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)", page.text)
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert "://" not in page.text


async def test_the_contract_is_about_this_api_alone(client: httpx.AsyncClient) -> None:
    found = (await client.get("/exposurelog/openapi.json")).json()
    assert found == pages.document(APP)
    assert found["servers"] == [{"url": "/exposurelog"}]
    assert {"/messages", "/messages/{message_id}"} <= found["paths"].keys()
    assert not [path for path in found["paths"] if "annolog" in path]
    assert {"Message", "Detail", "Fault"} <= found["components"]["schemas"].keys()
    assert "Annotation" not in found["components"]["schemas"]


def test_every_reference_of_the_contract_leads_somewhere() -> None:
    found = pages.document(APP)
    assert set(pages._references(found)) <= found["components"]["schemas"].keys()


def test_the_whole_contract_has_it_with_its_prefix() -> None:
    whole, own = openapi.document(APP), pages.document(APP)
    for path, item in own["paths"].items():
        assert whole["paths"]["/exposurelog" + path] == item


def test_every_parameter_is_described() -> None:
    operation = pages.document(APP)["paths"]["/messages"]["get"]
    assert len(operation["parameters"]) == 27
    assert all(one["description"] for one in operation["parameters"])
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Message"},
    }


def test_every_read_is_called_without_detours() -> None:
    reads = [*messages.HANDLERS, *exposures.HANDLERS, *pages.HANDLERS]
    assert all(isinstance(each, DirectRoute) for each in reads)
