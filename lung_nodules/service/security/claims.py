"""From the claims of a token to a user: who, in which role, and how he is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lung_nodules.service.security.access import AccessRefusal, Role, User
from lung_nodules.service.security.audit import NOBODY
from lung_nodules.service.security.names import person_name_of
from lung_nodules.service.settings import AuthSettings

MAX_NAME_LENGTH = 200


def user_of(claims: Mapping[str, Any], settings: AuthSettings, auth_mode: str) -> User:
    """Whom the claims of a token that was checked are about.

    Args:
        claims: With a subject.
        settings: Which claims hold roles and name.
        auth_mode: By which verifier it was checked.

    Raises:
        AccessRefusal: 401 ``token-malformed``; 403 ``no-role``.
    """
    name = str(claims["sub"])
    if name in ("", NOBODY) or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise token_refusal("token-malformed", "The token's subject cannot be used as a name.")
    held = [role for role in Role if str(role) in _role_names(claims, settings.role_claim)]
    if not held:
        sentence = "The token holds no role of this service (viewer, operator, admin)."
        raise AccessRefusal(403, "no-role", sentence, "Ask whoever gives out the roles.")
    return User(name, held[-1], auth_mode, person_name_of(claims, settings.name_claim))


def _role_names(claims: Mapping[str, Any], role_claim: str) -> frozenset[str]:
    """What the claim of roles holds: a list of strings, or one string with spaces between; else nothing."""
    value: object = claims.get(role_claim)
    if value is None:  # Keycloak's realm_access.roles; a claim whose own name has dots was found above
        value = claims
        for part in role_claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return frozenset(value.split())
    return frozenset(each for each in value if isinstance(each, str)) if isinstance(value, list) else frozenset()


def token_refusal(code: str, sentence: str) -> AccessRefusal:
    """A token that is not taken; no part of it may stand in the sentence."""
    return AccessRefusal(401, code, sentence, "Get a new token from the identity provider.")
