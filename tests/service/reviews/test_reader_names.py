"""Who observed, in the corrected SR: the person, as the token's claims call him, and not the number of the subject."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest
from api_server import RunningApi, serving
from highdicom.sr import srread
from identity_provider import AUDIENCE, ISSUER, Provider, provider

from lung_nodules.service.security.access import Role
from lung_nodules.service.security.tokens import sign_local_token
from lung_nodules.service.settings import AuthSettings

pytestmark = pytest.mark.service

SUB = "4b1e6c1e-6c5c-4f0e-9d3f-3c8e2f0c0b62"
KEY = "k" * 40
ANN = {"name": "Ann Lee", "given_name": "Ann", "family_name": "Lee"}


class Guarded:
    """The server of the reviews once more, which asks for tokens; `sign` makes an operator's."""

    def __init__(self, api: RunningApi, sign: Callable[..., str]) -> None:
        self.api = api
        self.sign = sign

    def ask(self, method: str, path: str, claims: dict[str, str], **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.sign(**claims)}"}
        return self.api.client.request(method, path, headers=headers, **more)


@pytest.fixture(scope="module", params=["oidc", "static"])
def guarded(request: Any, reviews_api: RunningApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    key_file = tmp_path_factory.mktemp("key") / "key"
    key_file.write_text(KEY)
    with ExitStack() as stack:
        auth, sign = _by_key(key_file) if request.param == "static" else _by_issuer(stack.enter_context(provider()))
        settings = reviews_api.settings.model_copy(update={"auth": auth})
        yield Guarded(stack.enter_context(serving(settings)), sign)


def _by_key(key_file: Path) -> tuple[AuthSettings, Callable[..., str]]:
    auth = AuthSettings(mode="static", static_key_file=key_file)
    return auth, lambda **claims: sign_local_token(KEY, SUB, Role.operator, **claims)


def _by_issuer(issuer: Provider) -> tuple[AuthSettings, Callable[..., str]]:
    auth = AuthSettings(mode="oidc", issuer=ISSUER, audience=AUDIENCE, jwks_url=issuer.url)
    return auth, lambda **claims: issuer.sign(sub=SUB, **claims)


@pytest.mark.parametrize(
    ("claims", "name"),
    [(ANN, "Lee^Ann"), ({"name": "Lee, Ann"}, "Lee^Ann"), ({"preferred_username": "alee"}, "alee^"), ({}, f"{SUB}^")],
)
def test_the_corrected_sr_names_the_person(
    guarded: Guarded, reviewed: SimpleNamespace, claims: dict[str, str], name: str
) -> None:
    said = {"verdict": "accepted", "comment": "Agreed."}
    review = guarded.ask("PUT", f"{reviewed.path}/findings/N1/review", claims, json=said).json()
    assert (review["reviewed_by"], review["reader_name"]) == (SUB, name)
    assert guarded.ask("GET", f"{reviewed.path}/reviews", claims).json() == [review]
    written = guarded.ask("GET", f"{reviewed.path}/corrected.dcm", claims).content
    observers = srread(io.BytesIO(written)).content.get_observer_contexts()
    assert [each.observer_type.meaning for each in observers] == ["Person", "Device"]
    assert str(observers[0].observer_identifying_attributes.name) == name
    if name != f"{SUB}^":
        assert SUB not in str(pydicom.dcmread(io.BytesIO(written)))


def test_a_later_name_does_not_change_what_was_said_before(guarded: Guarded, reviewed: SimpleNamespace) -> None:
    path = f"{reviewed.path}/findings/N1/review"
    guarded.ask("PUT", path, ANN, json={"verdict": "accepted"})
    guarded.ask("PUT", path.replace("N1", "N2"), {"name": "Ray, Ann"}, json={"verdict": "accepted"})
    reviews = guarded.ask("GET", f"{reviewed.path}/reviews", {}).json()
    assert [each["reader_name"] for each in reviews] == ["Lee^Ann", "Ray^Ann"]


def test_reviews_from_before_names_were_kept_name_the_user(
    guarded: Guarded, reviews_api: RunningApi, reviewed: SimpleNamespace
) -> None:
    reviews_api.query(
        "INSERT INTO finding_reviews (job_id, finding_id, verdict, comment, characteristics, reviewed_by)"
        " VALUES (%s, 'N1', 'accepted', '', '{}', 'anna')",
        reviewed.id,
    )
    written = guarded.ask("GET", f"{reviewed.path}/corrected.dcm", {}).content
    observer, _ = srread(io.BytesIO(written)).content.get_observer_contexts()
    assert str(observer.observer_identifying_attributes.name) == "anna^"
