"""Every error is a problem document that repeats nothing of what was sent; headers and logs around it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

import httpx2
import psycopg
import pytest
from api_server import RunningApi
from hostile_uploads import MARK
from results_maker import add_result

from lung_nodules.archive.refusals import HEALING, LASTING, ArchiveRefusal
from lung_nodules.errors import InputRefusal, ModelRefusal, OutputRefusal, UsageRefusal
from lung_nodules.service.api.problems import Problem, status_of
from lung_nodules.service.jobs.model import JobConflict, JobNotFound, QueueFull
from lung_nodules.service.security.headers import DATA_POLICY, PAGE_POLICY

SOME_JOB = "6c1c2f8e-0000-4000-8000-000000000001"
JSON = {"Content-Type": "application/json"}

ERRORS: dict[str, tuple[int, str, Callable[[httpx2.Client], httpx2.Response]]] = {
    "path": (404, "no-such-path", lambda c: c.get(f"/v1/{MARK}")),
    "job": (404, "job-not-found", lambda c: c.get(f"/v1/jobs/{SOME_JOB}")),
    "job id": (422, "invalid-request", lambda c: c.get(f"/v1/jobs/{MARK}")),
    "method": (405, "method-not-allowed", lambda c: c.put("/v1/jobs")),
    "value": (422, "invalid-request", lambda c: c.post("/v1/studies", json={"study_instance_uid": MARK})),
    "unknown key": (
        422,
        "invalid-request",
        lambda c: c.post("/v1/studies", json={"study_instance_uid": "1.2", MARK: 1}),
    ),
    "nested key": (422, "invalid-request", lambda c: c.post("/v1/studies", json={"study_instance_uid": {MARK: MARK}})),
    "broken JSON": (422, "invalid-request", lambda c: c.post("/v1/studies", content=f'{{"{MARK}', headers=JSON)),
    "no UTF-8": (400, "bad-request", lambda c: c.post("/v1/studies", content=b'{"\xff": 1}', headers=JSON)),
    "no body": (422, "invalid-request", lambda c: c.post("/v1/studies", headers=JSON)),
    "query value": (422, "invalid-request", lambda c: c.get("/v1/jobs", params={"state": MARK})),
    **{
        f"{name} with {ord(character):#x}": (
            422,
            "invalid-request",
            lambda c, path=path, name=name, text=f"{MARK}{character}": c.get(path, params={name: text}),
        )
        for path, name in (("/v1/jobs", "q"), ("/v1/audit", "actor"), ("/v1/audit", "action"))
        for character in "\0\n\x7f"
    },
    "query key": (422, "invalid-request", lambda c: c.get("/v1/jobs", params={MARK: "1"})),
    "large body": (413, "body-too-large", lambda c: c.post("/v1/studies", content=b" " * 70_000, headers=JSON)),
    "large chunks": (
        413,
        "body-too-large",
        lambda c: c.post("/v1/studies", content=(b" " * 1000 for _ in range(70)), headers=JSON),
    ),
    "large alias": (413, "body-too-large", lambda c: c.post("/generate_report", content=b" " * 70_000, headers=JSON)),
    "media type": (415, "media-type", lambda c: c.post("/v1/studies", content=b"{}", headers={"Content-Type": MARK})),
    "no media type": (415, "media-type", lambda c: c.post("/v1/studies", content=b"{}")),
    "upload type": (415, "media-type", lambda c: c.post("/v1/uploads", content=b"{}", headers=JSON)),
    "foreign host": (421, "foreign-host", lambda c: c.get("/v1/me", headers={"Host": "rebind.test"})),
    "foreign origin": (
        403,
        "foreign-origin",
        lambda c: c.post(f"/v1/jobs/{SOME_JOB}/cancel", headers={"Origin": "https://evil.test"}),
    ),
    "null origin": (403, "foreign-origin", lambda c: c.post("/v1/uploads", headers={"Origin": "null"})),
    "foreign site": (
        403,
        "foreign-origin",
        lambda c: c.delete(f"/v1/jobs/{SOME_JOB}", headers={"Sec-Fetch-Site": "cross-site"}),
    ),
    "not ready": (503, "not-ready", lambda c: c.get("/health/ready")),
}


@pytest.mark.service
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_a_problem_document(api: RunningApi, caplog: pytest.LogCaptureFixture, name: str) -> None:
    caplog.set_level(logging.DEBUG, "lung_nodules")
    status, code, send = ERRORS[name]
    response = send(api.client)
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
    problem = Problem.model_validate(response.json())
    assert (problem.status, problem.code) == (status, code)
    assert problem.type == f"urn:problem-type:lung-nodules:{code}"
    assert problem.detail.endswith((".", "?"))
    assert problem.instance == f"urn:uuid:{response.headers['X-Request-ID']}"
    assert response.headers["Content-Security-Policy"]
    assert MARK not in response.text
    assert MARK not in caplog.text
    if status in (429, 503):
        assert int(response.headers["Retry-After"]) > 0


@pytest.mark.service
def test_what_is_wrong_with_a_field_is_told(api: RunningApi) -> None:
    response = api.client.post("/v1/studies", json={"study_instance_uid": "a", "priority": 99})
    assert response.json()["errors"] == [
        {
            "field": "body.study_instance_uid",
            "code": "string_pattern_mismatch",
            "sentence": r"String should match pattern '^[0-9]+(\.[0-9]+)*$'",
        },
        {"field": "body.priority", "code": "less_than_equal", "sentence": "Input should be less than or equal to 20"},
    ]


@pytest.mark.service
@pytest.mark.parametrize(
    ("path", "methods"),
    [("/v1/jobs", "GET"), (f"/v1/jobs/{SOME_JOB}", "DELETE, GET"), ("/v1/uploads", "POST"), ("/health/live", "GET")],
)
def test_allow_lists_all_methods_of_a_path(api: RunningApi, path: str, methods: str) -> None:
    assert api.client.request("TRACE", path).headers["Allow"] == methods


@pytest.mark.service
def test_a_page_of_our_own_may_post(api: RunningApi) -> None:
    origin = str(api.client.base_url).rstrip("/")
    for headers in ({"Origin": origin, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
        assert api.client.post(f"/v1/jobs/{SOME_JOB}/cancel", headers=headers).status_code == 404


@pytest.mark.service
def test_other_pages_may_call_when_they_are_listed(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    api = serve(make_settings(cors_origins=("https://viewer.test",)))

    def preflight(origin: str) -> httpx2.Response:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return api.client.options("/v1/studies", headers=headers)

    assert preflight("https://viewer.test").headers["Access-Control-Allow-Origin"] == "https://viewer.test"
    assert "Access-Control-Allow-Origin" not in preflight("https://evil.test").headers
    listed = api.client.post(f"/v1/jobs/{SOME_JOB}/cancel", headers={"Origin": "https://viewer.test"})
    assert (listed.status_code, listed.headers["Access-Control-Allow-Origin"]) == (404, "https://viewer.test")
    assert api.client.post(f"/v1/jobs/{SOME_JOB}/cancel", headers={"Origin": "https://evil.test"}).status_code == 403
    assert "Access-Control-Allow-Credentials" not in listed.headers


@pytest.mark.service
@pytest.mark.parametrize(("path", "policy"), [("/", PAGE_POLICY), ("/v1/me", DATA_POLICY), ("/nowhere", PAGE_POLICY)])
def test_headers_let_a_browser_do_little(api: RunningApi, path: str, policy: str) -> None:
    headers = api.client.get(path).headers
    assert headers["Content-Security-Policy"] == policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "server" not in headers


def test_the_policies_allow_nothing_inline_and_nothing_from_elsewhere() -> None:
    for policy in (PAGE_POLICY, DATA_POLICY):
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        for loose in ("unsafe", "*", "http:", "https:", "//"):
            assert loose not in policy


@pytest.mark.service
def test_the_access_log_names_routes_and_never_paths_or_queries(
    api: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # the client of this test, which logs what it asks
    job_id = add_result(api)
    api.client.get(f"/v1/jobs/{job_id}/files", params={"PatientName": MARK})
    api.client.get(f"/patients/{MARK}")
    api.client.post(f"/v1/archives/{MARK}/search", json={"patient_id": MARK})
    api.client.request(MARK.replace("^", ""), "/v1/jobs")
    lines = [record.getMessage() for record in caplog.records if record.name == "lung_nodules.service.access"]
    assert lines[0].startswith("GET /v1/jobs/{job_id}/files 200 ")
    assert f"job={job_id}" in lines[0]
    assert lines[1].startswith("GET - 404 ")
    assert lines[2].startswith("POST /v1/archives/{name}/search 404 ")
    assert lines[3].startswith("other ")
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpcore", "httpx"))]
    assert MARK not in " ".join(ours)


@pytest.mark.service
def test_metrics_hold_no_names_and_no_uids(api: RunningApi) -> None:
    job_id = add_result(api, submitted_by=MARK)
    ended = "INSERT INTO notices (job_id, version, state, ended_at) VALUES (%s, 1, 'done', now())"
    api.query(ended, job_id)  # of which no worker is told here
    api.client.get(f"/v1/jobs/{job_id}/report")
    api.client.get(f"/{MARK}")
    text = api.client.get("/metrics").text
    assert 'lung_nodules_http_requests_total{method="GET",route="/v1/jobs/{job_id}/report",status="200"}' in text
    assert 'lung_nodules_jobs{state="done"}' in text
    assert "lung_nodules_queue_length" in text
    ((waiting,),) = api.query("SELECT count(*) FROM notices")
    assert f'lung_nodules_notices_untold{{state="waiting"}} {waiting}.0' in text
    assert 'lung_nodules_notices_untold{state="given_up"} 0.0' in text
    for secret in (job_id, MARK, "local", "1.2.826"):
        assert secret not in text


@pytest.mark.service
def test_a_defect_of_ours_gives_no_words(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api = serve(make_settings())
    job_id = add_result(api)
    (api.settings.data_folder / "results" / job_id / "preview" / "meta.json").write_text(f'{{"{MARK}')
    response = api.client.get(f"/v1/jobs/{job_id}/slices")
    assert (response.status_code, response.json()["code"]) == (500, "internal-error")
    assert response.json()["detail"] == "Internal error (JSONDecodeError)."
    assert response.headers["Content-Security-Policy"] == DATA_POLICY
    assert "JSONDecodeError at " in caplog.text
    assert "results.py:" in caplog.text
    assert MARK not in caplog.text + response.text


@pytest.mark.service
def test_a_database_that_is_away_is_told_as_such_and_heals(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], database_server: str
) -> None:
    settings = make_settings()
    database = {**settings.database.model_dump(), "connect_timeout_s": 1.0}
    api = serve(settings.model_copy(update={"database": type(settings.database)(**database)}))
    ((name,),) = api.query("SELECT current_database()")
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        assert api.client.get("/health/live").status_code == 200
        checks = {check["name"]: check["passed"] for check in api.client.get("/health/ready").json()["checks"]}
        assert checks == {"database": False, "models": True, "disk": True, "worker": False}
        for path in ("/v1/jobs", "/v1/me", "/metrics"):
            response = api.client.get(path)
            assert (response.status_code, response.headers["Content-Type"]) == (503, "application/problem+json")
            assert response.json()["code"] in ("database-unavailable", "audit-unavailable")
            assert int(response.headers["Retry-After"]) > 0
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    ends_at = time.monotonic() + 60
    while api.client.get("/v1/jobs").status_code != 200:
        assert time.monotonic() < ends_at
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (QueueFull(5), 503),
        (JobNotFound(), 404),
        (JobConflict("job-ended", "It has ended."), 409),
        (InputRefusal("no-usable-ct", "There is no CT."), 422),
        (UsageRefusal("bad-cursor", "No."), 422),
        (ModelRefusal("model-missing", "No."), 503),
        (OutputRefusal("output-not-written", "No."), 500),
        *[(ArchiveRefusal(code, "No."), None) for code in {**HEALING, **LASTING}],
    ],
)
def test_each_refusal_has_a_status(refusal: Exception, status: int | None) -> None:
    found = status_of(refusal)  # type: ignore[arg-type]
    assert found == status if status else found in (404, 422, 502, 503, 504)


@pytest.mark.service
def test_the_page_is_served_or_says_how_to_build_it(api: RunningApi) -> None:
    response = api.client.get("/")
    assert response.status_code == 200 or "make page" in response.text


@pytest.mark.service
def test_the_document_has_examples_and_roles(api: RunningApi) -> None:
    document = json.loads(api.client.get("/openapi.json").text)
    operations = {
        operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()
    }
    assert operations["delete_job"]["x-role"] == "admin"
    assert operations["delete_job"]["security"] == [{"HTTPBearer": []}]
    assert "x-role" not in operations["show_alive"]
    assert operations["show_job"]["responses"]["200"]["content"]["application/json"]["example"]["state"] == "done"
    assert "application/problem+json" in operations["show_job"]["responses"]["404"]["content"]
    assert set(operations["create_job_of_upload"]["requestBody"]["content"]) == {
        "application/zip",
        "multipart/form-data",
    }
    assert "application/json" in operations["generate_report"]["requestBody"]["content"]
