"""The API held against its own OpenAPI document by schemathesis, which makes requests that fit it and that do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import schemathesis
from api_server import RunningApi
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from results_maker import add_result
from schemathesis import Case, CheckFunction, GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from lung_nodules.service.api.app import create_app
from lung_nodules.service.settings import ServiceSettings

pytestmark = [pytest.mark.service, pytest.mark.slow]

DOCUMENT = create_app(ServiceSettings()).openapi()
LEFT_OUT = {"follow_job", "follow_jobs", "show_ready"}  # streams without an end; 503 where no worker runs
KEY = "contract-key-of-more-than-32-bytes"
OPERATIONS = [
    (path, method.upper(), mode)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
    for mode in GenerationMode
    if operation["operationId"] not in LEFT_OUT
    if mode is GenerationMode.POSITIVE or operation.keys() & {"parameters", "requestBody", "security"}
]


@pytest.fixture(scope="module")
def contract_api(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
) -> RunningApi:
    archives = {"pacs": {"kind": "folder", "path": str(tmp_path_factory.mktemp("pacs"))}}
    key = tmp_path_factory.mktemp("key") / "key"
    key.write_text(KEY)
    return serve(
        make_settings(
            auth={"mode": "static", "static_key_file": key},
            archives=archives,
            queue={"max_length": 1_000_000},
            rate_limit={"per_minute": 1_000_000, "burst": 1_000_000},
        ),
        token=KEY,
    )


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_answers_are_what_the_document_says(
    contract_api: RunningApi, path: str, method: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]
    job_id = add_result(contract_api)

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), names_the_job=st.booleans())
    def check(case: Case, names_the_job: bool) -> None:
        if mode is GenerationMode.POSITIVE and names_the_job and "job_id" in case.path_parameters:
            case.path_parameters["job_id"] = job_id
        excluded: list[CheckFunction] = [positive_data_acceptance]  # a name that fits may still name nothing
        if ParameterLocation.HEADER in case.meta.components:
            excluded.append(negative_data_rejection)  # our own header goes over the wrong one
        headers = {"Authorization": f"Bearer {KEY}"}
        case.call_and_validate(
            base_url=str(contract_api.client.base_url).rstrip("/"), headers=headers, excluded_checks=excluded
        )

    check()
