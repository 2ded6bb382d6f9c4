"""Sections of what users meet: uploads, who one is, how often one may ask, and reviews."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from lung_nodules.archive.addresses import check_url
from lung_nodules.archive.settings import origin_of
from lung_nodules.settings import Section


def _check_origin(text: str) -> str:
    """Give back the origin of a web page as browsers write it (RFC 6454, 6.2): small letters, no default port.

    Raises:
        ValueError: It is none, or no browser would send it.
    """
    parts, plain, full = urlsplit(check_url(text)), text.lower(), origin_of(text)
    short = full.removesuffix({"http": ":80", "https": ":443"}.get(parts.scheme, ""))
    if not plain.startswith(("http://", "https://")) or not parts.hostname or plain not in (full, short):
        raise ValueError("an origin is http:// or https:// with a host, and a port if need be: no *, no path, no user")
    if not plain.isascii():
        raise ValueError("browsers write the host of an origin in ASCII (xn--)")
    return short


AskedUrl = Annotated[str, AfterValidator(check_url)]
Origin = Annotated[str, AfterValidator(_check_origin)]


class UploadsSettings(Section):
    """What one may send."""

    max_mib: int = Field(4096, ge=1, le=1_048_576, description="One upload, as sent and as unpacked.")
    max_files: int = Field(20_000, ge=1, le=1_000_000, description="Files in one upload.")
    max_ratio: float = Field(200.0, gt=1, le=10_000, description="Unpacked to packed size of one ZIP member.")
    quota_per_user_mib: int = Field(51_200, ge=1, le=1_048_576_000, description="Of one user in the spool at a time.")
    keep_days: float = Field(
        7.0, gt=0, le=36_500, description="Of a job that ended without a result, for another try; until then it counts."
    )


class AuthSettings(Section):
    """Who one is."""

    mode: Literal["none", "static", "oidc"] = Field("none", description="none and static: on this machine alone.")
    issuer: AskedUrl | None = Field(None, description="The `iss` that tokens must carry.")
    audience: str | None = Field(None, description="The `aud` that tokens must carry.")
    jwks_url: AskedUrl | None = Field(None, description="Where the issuer's keys are.")
    client_id: str | None = Field(
        None, max_length=200, description="Of the page at the issuer, a public client; None: a token is pasted."
    )
    scope: str = Field("openid", pattern=r"^[\x21-\x7e]+( [\x21-\x7e]+)*$", description="That the page asks for.")
    static_key_file: Path | None = Field(None, description="Holds the key of locally signed tokens.")
    role_claim: str = Field("roles", description="Claim that holds the roles; dots lead into nested claims.")
    name_claim: str = Field(
        "name", description="Claim that holds what a person is called; then preferred_username, then sub."
    )
    clock_skew_s: int = Field(30, ge=0, le=300, description="Tolerated between two clocks.")


class RateLimitSettings(Section):
    """Requests of one user or address."""

    per_minute: int = Field(600, ge=1, le=1_000_000)
    burst: int = Field(120, ge=1, le=1_000_000)
    streams: int = Field(20, ge=1, le=10_000, description="Event streams that a user may have open at a time.")


class ReviewsSettings(Section):
    """What becomes of a reader's word."""

    verified: bool = Field(False, description="A corrected SR counts as verified by the reader who spoke last.")
    organization: str | None = Field(None, max_length=64, description="That the readers belong to.")

    @model_validator(mode="after")
    def _verification_names_an_organization(self) -> ReviewsSettings:
        if self.verified and not self.organization:
            raise ValueError("verified needs organization")
        return self
