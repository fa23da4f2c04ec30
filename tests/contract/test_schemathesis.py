"""Whatever is sent, the service answers as its contract says, and never with a fault.

Requests are made up from the document, right ones and wrong ones, with hostile bodies
and headers among them, and sent to a real process.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.checks import (
    CHECKS,
    load_all_checks,
    not_a_server_error,
)
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.postgres import PostgresServer
from tests.support.served import ServiceProcess
