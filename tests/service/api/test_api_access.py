"""What each role may do, read from the OpenAPI document, by tokens of a real issuer; and how often one may ask."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import httpx2
import pytest
from api_server import RunningApi
from fastapi import FastAPI
from identity_provider import AUDIENCE, ISSUER, Provider, bearer
from results_maker import add_job, add_result

from lung_nodules.service.api.app import create_app
from lung_nodules.service.api.documents import declared_routes
from lung_nodules.service.security.access import GuardedRoute, Role, rule_of
from lung_nodules.service.settings import ServiceSettings

OPEN_TO_ALL = {"show_alive", "show_ready", "show_metrics", "show_sign_in", "say_not_built"}
NEEDED = {
    "create_job_of_study": Role.operator,
    "create_job_of_upload": Role.operator,
    "generate_report": Role.operator,
    "list_jobs": Role.viewer,
    "show_job": Role.viewer,
    "delete_job": Role.admin,
    "cancel_job": Role.operator,
    "retry_job": Role.operator,
    "set_priority": Role.operator,
    "follow_job": Role.viewer,
    "follow_jobs": Role.viewer,
    "show_report": Role.viewer,
    "list_files": Role.viewer,
    "download_file": Role.viewer,
    "show_volume": Role.viewer,
    "download_slice": Role.viewer,
    "download_labels": Role.viewer,
    "list_reviews": Role.viewer,
    "review_finding": Role.operator,
    "show_corrected_report": Role.viewer,
    "download_corrected_report": Role.viewer,
    "download_corrected_segmentation": Role.viewer,
    "show_labels": Role.viewer,
    "download_labels_as_cohort": Role.viewer,
    "list_archives": Role.viewer,
    "find_studies": Role.operator,
    "list_studies": Role.viewer,
    "show_me": Role.viewer,
    "show_page_settings": Role.viewer,
    "read_audit": Role.admin,
}
APP = create_app(ServiceSettings())
ROUTES = {route.name: route for route in declared_routes(APP)}
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation.get("x-role"))
    for path, methods in APP.openapi()["paths"].items()
    for method, operation in methods.items()
}
GUARDED = sorted(OPERATIONS.keys() - OPEN_TO_ALL)


def test_every_operation_of_the_document_has_the_role_that_is_written_here() -> None:
    said = {name: role for name, (_, _, role) in OPERATIONS.items()}
    assert said == {**NEEDED, **dict.fromkeys(OPEN_TO_ALL & said.keys())}


def test_the_document_says_what_is_so() -> None:
    rules = {name: rule_of(route.dependant) for name, route in ROUTES.items()}
    assert OPERATIONS.keys() == ROUTES.keys() - {"say_not_built"}
    assert {name: role for name, (_, _, role) in OPERATIONS.items()} == {
        name: rule.role if rule else None for name, rule in rules.items() if name in OPERATIONS
    }


@pytest.mark.parametrize("name", GUARDED)
def test_every_rule_is_held_before_the_body_is_read(name: str) -> None:
    assert isinstance(ROUTES[name].original_route, GuardedRoute)  # type: ignore[attr-defined]


def test_a_route_without_a_rule_would_be_seen() -> None:
    app = FastAPI()
    app.add_api_route("/open", lambda: None, name="forgotten")
    (route,) = [each for each in declared_routes(app) if each.name == "forgotten"]
    assert rule_of(route.dependant) is None


def call(api: RunningApi, name: str, headers: dict[str, str], job_id: str = "") -> httpx2.Response:
    """Call a route about a job that is done, with a body that is refused at the latest when it is read."""
    method, path, _ = OPERATIONS[name]
    job_id = job_id or add_result(api)
    path = re.sub(r"\{\w+\}", "0", path.replace("{job_id}", job_id))
    if name.startswith("follow"):  # it would not end: a job that is not there is known after the role is
        path = path.replace(job_id, "6c1c2f8e-0000-4000-8000-000000000001") if name == "follow_job" else path
        with api.client.stream(method, path, headers=headers) as response:
            if response.is_error:
                response.read()
            return response
    return api.client.request(method, path, headers=headers, content=b"{}" if method in ("POST", "PUT") else None)


@pytest.mark.service
@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_what_its_rule_says_and_no_more(
    guarded: RunningApi, issuer: Provider, name: str, role: Role
) -> None:
    job_id, state = add_result(guarded), "SELECT jobs.*, (SELECT count(*) FROM jobs) FROM jobs WHERE id = %s"
    before = guarded.query(state, job_id)
    response = call(guarded, name, bearer(issuer, role), job_id)
    if role.covers(NEEDED[name]):
        assert response.status_code not in (401, 403, 500)
    else:
        assert (response.status_code, response.json()["code"]) == (403, "role-too-low")
        assert guarded.query(state, job_id) == before
        assert guarded.query("SELECT count(*) FROM finding_reviews") == [(0,)]


@pytest.mark.service
@pytest.mark.parametrize("name", GUARDED)
def test_a_stranger_may_do_nothing(guarded: RunningApi, name: str) -> None:
    response = call(guarded, name, {})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.service
def test_an_operator_puts_forward_what_is_his_and_an_admin_all(guarded: RunningApi, issuer: Provider) -> None:
    def ask(role: str, name: str, owner: str) -> httpx2.Response:
        job_id = add_job(guarded, "cancelled", submitted_by=owner)
        headers = bearer(issuer, role, name)
        return guarded.client.put(f"/v1/jobs/{job_id}/priority", json={"priority": 20}, headers=headers)

    assert ask("operator", "olga", "olga").json()["code"] == "job-not-queued"
    assert ask("operator", "olga", "oleg").json()["code"] == "not-yours"
    assert ask("admin", "ada", "oleg").json()["code"] == "job-not-queued"


@pytest.mark.service
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Basic YTpi")],
        [("Cookie", "token=x")],
    ],
)
def test_a_token_comes_in_its_header_alone(
    guarded: RunningApi, issuer: Provider, headers: list[tuple[str, str]]
) -> None:
    response = guarded.client.get("/v1/me", params={"access_token": issuer.sign()}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "no-token")


@pytest.mark.service
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_the_scheme_of_a_token_may_be_written_in_any_letters(
    guarded: RunningApi, issuer: Provider, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {issuer.sign(roles=['viewer'])}"}
    assert guarded.client.get("/v1/me", headers=headers).json()["role"] == "viewer"


@pytest.mark.service
@pytest.mark.parametrize("scheme", ["", "Token", "JWT", "DPoP", "Bearer,", "Bearer\t"])
def test_no_other_scheme_is_taken(guarded: RunningApi, issuer: Provider, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {issuer.sign()}".strip()}
    assert guarded.client.get("/v1/me", headers=headers).json()["code"] == "no-token"


@pytest.mark.service
def test_two_tokens_are_none(guarded: RunningApi, issuer: Provider) -> None:
    headers = [("Authorization", f"Bearer {issuer.sign()}"), ("Authorization", f"Bearer {issuer.sign()}")]
    assert guarded.client.get("/v1/me", headers=headers).json()["code"] == "no-token"


@pytest.mark.service
def test_a_token_never_reaches_a_log_or_the_database(
    guarded: RunningApi, issuer: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    good, bad = issuer.sign(), issuer.sign("hidden")
    for token in (good, bad):
        guarded.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    rows = str(guarded.query("SELECT * FROM audit_entries"))
    for token in (good, bad):
        assert token not in caplog.text
        assert token.rpartition(".")[2] not in caplog.text + rows


@pytest.mark.service
def test_calls_beyond_the_rate_are_told_when_to_come_again(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    api = serve(make_settings(rate_limit={"per_minute": 20, "burst": 20}))
    answers = [api.client.get("/v1/archives") for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 5
    assert {answer.json()["code"] for answer in refused} == {"too-many-requests"}
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in refused)
    assert api.client.get("/v1/jobs").status_code == 200, "what a page calls often has a rate of its own"
    assert all(api.client.get("/health/live").status_code == 200 for _ in range(50))


@pytest.mark.service
def test_bad_tokens_make_an_address_wait(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], issuer: Provider
) -> None:
    auth = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url}
    api = serve(make_settings(auth=auth))
    assert {api.client.get("/v1/me").json()["code"] for _ in range(60)} == {"no-token"}, "no token is no guess"
    bad = {"Authorization": f"Bearer {issuer.sign('hidden')}"}
    statuses = [api.client.get("/v1/me", headers=bad).status_code for _ in range(40)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert api.client.get("/v1/me", headers=bearer(issuer, "viewer")).status_code == 200, "behind the same proxy"
