"""Where the service is."""

import pytest

from annolog.domain.calls import service_address


@pytest.mark.parametrize("host", ["https://annolog.example.org", "http://annolog:8080"])
@pytest.mark.parametrize("path", ["", "/", "/annolog", "/annolog/v1", "/annolog/v1//"])
def test_address_of_the_api_leads_to_the_service(host: str, path: str) -> None:
    assert service_address(host + path) == host


@pytest.mark.parametrize(
    "address", ["http://annolog", "https://example.org/site", "http://h/v1"]
)
def test_what_is_not_of_the_api_stays(address: str) -> None:
    assert service_address(f"{address}/") == address
