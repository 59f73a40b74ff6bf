"""Whatever is sent to any address, there is no 500, and answers are as described."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.cli.service.conftest import Served, limited

OPERATIONS = 13


def test_the_description_has_every_operation_and_how_to_be_let_in(served: Served) -> None:
    document = served.client.get("/openapi.json").json()
    operations = [(path, method) for path, one in document["paths"].items() for method in one]
    assert len(operations) == OPERATIONS
    for path, method in operations:
        operation = document["paths"][path][method]
        assert operation["summary"]
        assert {"401", "422", "429", "503"} <= set(operation["responses"])
        assert bool(operation.get("security")) is (path != "/v1/health")


@pytest.mark.parametrize("number", range(OPERATIONS))
def test_schemathesis_finds_no_500(served: Served, number: int) -> None:
    library = pytest.importorskip(
        "schemathesis", reason="needs schemathesis: 'make test-service' installs it"
    )
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

    fast = limited(served, rate=10**6)
    schema = library.openapi.from_asgi("/openapi.json", fast.app)
    operation = [one.ok() for one in schema.get_all_operations()][number]
    checks = [
        not_a_server_error,
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    ]

    @settings(
        max_examples=25,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(headers=fast.as_("admin"), checks=checks)

    ask()
