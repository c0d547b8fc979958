"""The OpenAPI description is true, and nothing that follows it makes a fault of ours."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from onetrunk.bundle.runtime import Runtime
from onetrunk.serving.api import create_app
from onetrunk.serving.settings import Limits

schemathesis = pytest.importorskip("schemathesis")

CHECKS = schemathesis.checks.CHECKS
schemathesis.checks.load_all_checks()
# The description says what is well formed; which apps and families there are, it cannot say. That
# changes need the token is tested elsewhere.
EXCLUDED = CHECKS.get_by_names(["positive_data_acceptance", "not_a_server_error", "ignored_auth"])
TOKEN = "a token that nobody guesses"
OPERATIONS = 9


@pytest.mark.parametrize(
    "cases", [pytest.param(180, id="few"), pytest.param(10_000, id="many", marks=pytest.mark.slow)]
)
def test_requests_made_from_the_description(cases: int, bundle: Path, answering: Any) -> None:
    app = create_app(
        Runtime(bundle, threads=1),
        bundle=bundle,
        token=TOKEN,
        limits=Limits(deadline=60.0, max_queue=10_000),
    )
    with answering(app) as url:
        described = schemathesis.openapi.from_url(f"{url}/openapi.json")
        operations = [result.ok() for result in described.get_all_operations()]
        assert len(operations) == OPERATIONS
        for operation in operations:
            _check(operation, cases // OPERATIONS)
    shutil.rmtree(bundle)


def _check(operation: Any, cases: int) -> None:
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        answer = case.call(headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code < 500 or answer.status_code == 501, answer.text
        case.validate_response(answer, excluded_checks=EXCLUDED)

    check()
