"""Settings of the service, each typed, bounded and with its unit in its name.

They come, the first that names a value winning, from arguments, from the environment
(`LUNG_NODULES_SERVICE__WORKERS__COUNT=2`), from a YAML file (`--config`, or `LUNG_NODULES_SERVICE_CONFIG`), and from
the defaults below. Secrets never stand in the settings themselves: a field that ends in `_file` names a file that holds
one, so that a settings file can be shown to anybody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import Field, IPvAnyNetwork, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from lung_nodules.archive.addresses import NEVER_ASKED, is_forbidden
from lung_nodules.archive.settings import ArchiveSettings, ListenerSettings, is_loopback
from lung_nodules.errors import UsageRefusal
from lung_nodules.settings import Section

PREFIX = "LUNG_NODULES_SERVICE__"
CONFIG_VARIABLE = "LUNG_NODULES_SERVICE_CONFIG"


class DatabaseSettings(Section):
    """Where the jobs are kept."""

    url_file: Path | None = Field(
        None, description="Holds a libpq URL (postgresql://user:password@host/name); None: the embedded server."
    )
    embedded: bool = Field(True, description="Start a PostgreSQL of our own where no URL is given.")
    pool_size: int = Field(8, ge=2, le=100, description="Connections of one process at most.")
    connect_timeout_s: float = Field(10.0, gt=0, le=300, description="Waited for a connection.")


class WorkersSettings(Section):
    """Processes that read studies."""

    count: int = Field(1, ge=0, le=64, description="Started by `serve` on this machine; one study at a time each.")
    max_losses: int = Field(5, ge=1, le=100, description="Workers that may be lost over a study; then it is set aside.")
    time_limit_s: float = Field(1800.0, gt=0, le=86400, description="For one attempt at one study.")
    max_crashes: int = Field(2, ge=1, le=10, description="After so many a study is set aside.")
    heal_within_s: float = Field(
        86_400.0,
        ge=0,
        le=2_592_000,
        description="Tried again for so long after the first failure of a step, or of telling the webhook.",
    )
    first_retry_s: float = Field(10.0, gt=0, le=3600, description="Before the first retry; doubled for each next one.")
    longest_retry_s: float = Field(900.0, gt=0, le=86400, description="A pause between two retries is never longer.")
    heartbeat_s: float = Field(5.0, gt=0, le=300, description="Between two signs of life of a worker.")
    lease_s: float = Field(30.0, gt=0, le=3600, description="Silence after which a worker is taken for lost.")
    poll_s: float = Field(5.0, gt=0, le=300, description="Looked for work as often even if no notification came.")
    grace_s: float = Field(20.0, ge=0, le=3600, description="For the study under way when a worker is told to stop.")
    progress_s: float = Field(0.5, ge=0, le=60, description="Least time between two writings of a job's progress.")
    studies_per_child: int = Field(50, ge=1, le=10_000, description="The analysing process is renewed after so many.")
    analysis: str = Field(
        "lung_nodules.service.jobs.analysis:LineAnalysis",
        pattern=r"^[\w.]+:\w+$",
        description="What analyses a study, as module:name; only tests and benchmarks put another in its place.",
    )

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> WorkersSettings:
        if self.lease_s < 2 * self.heartbeat_s:
            raise ValueError("lease_s must be at least twice heartbeat_s")
        return self

    def retry_after_s(self, num_failures: int, failing_for_s: float) -> float | None:
        """The pause before what has failed is tried again; None when it has had its time.

        Args:
            num_failures: Before the latest one.
            failing_for_s: Since the first one.
        """
        left_s = self.heal_within_s - failing_for_s
        if left_s <= 0:
            return None
        doubled_s = self.first_retry_s * 2.0 ** min(num_failures, 30)
        return min(doubled_s, self.longest_retry_s, left_s)


class QueueSettings(Section):
    """How much may wait."""

    max_length: int = Field(
        1000, ge=1, le=10_000_000, description="Jobs that wait; beyond them submissions are refused."
    )
    retry_after_s: int = Field(60, ge=1, le=86400, description="What a refused client is told to wait.")


class UploadsSettings(Section):
    """What one may send."""

    max_mib: int = Field(4096, ge=1, le=1_048_576, description="One upload, as sent and as unpacked.")
    max_files: int = Field(20_000, ge=1, le=1_000_000, description="Files in one upload.")
    max_ratio: float = Field(200.0, gt=1, le=10_000, description="Unpacked to packed size of one ZIP member.")
    quota_per_user_mib: int = Field(51_200, ge=1, le=1_048_576_000, description="Of one user in the spool at a time.")
    keep_days: float = Field(
        7.0, gt=0, le=36_500, description="Of a job that ended without a result, for another try; until then it counts."
    )


class CacheSettings(Section):
    """Fetched instances, kept for the next attempt or version."""

    max_gib: float = Field(20.0, gt=0, le=100_000, description="Above it what was used longest ago goes.")


class ResultsSettings(Section):
    """How long results stay in the data folder; the archive is their home."""

    max_age_days: float | None = Field(None, gt=0, le=36_500, description="Older ones are removed; None: kept.")
    max_gib: float | None = Field(None, gt=0, le=1_000_000, description="The oldest go first; None: no bound.")
    prune_every_s: float = Field(600.0, gt=0, le=86_400, description="Looked for results to remove so often.")


class WatchSettings(Section):
    """Following an archive's feed of changes."""

    archive: str | None = Field(None, description="Name of an archive with a change feed; None: nothing is watched.")
    poll_s: float = Field(5.0, gt=0, le=3600, description="Between two looks at the feed.")
    from_beginning: bool = Field(True, description="At the first start: also what was in the archive before.")
    priority: int = Field(0, ge=-10, le=20, description="Of the jobs that are made.")


class AuthSettings(Section):
    """Who one is."""

    mode: Literal["none", "static", "oidc"] = Field("none", description="none and static: on this machine alone.")
    issuer: str | None = Field(None, description="The `iss` that tokens must carry.")
    audience: str | None = Field(None, description="The `aud` that tokens must carry.")
    jwks_url: str | None = Field(None, description="Where the issuer's keys are.")
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


class WebhookSettings(Section):
    """Told by the workers when a job has ended, without patient data."""

    url: str | None = Field(None, description="POSTed to; None: nobody is told.", pattern=r"^https?://")
    secret_file: Path | None = Field(None, description="Holds the key of the HMAC-SHA-256 in X-Lung-Nodules-Signature.")
    timeout_s: float = Field(10.0, gt=0, le=300, description="For an answer; then it is told again.")

    @field_validator("url")
    @classmethod
    def _may_be_asked(cls, url: str | None) -> str | None:
        if url is not None and is_forbidden(urlsplit(url).hostname or ""):
            raise ValueError(NEVER_ASKED)
        return url


class ReviewsSettings(Section):
    """What becomes of a reader's word."""

    verified: bool = Field(False, description="A corrected SR counts as verified by the reader who spoke last.")
    organization: str | None = Field(None, max_length=64, description="That the readers belong to.")

    @model_validator(mode="after")
    def _verification_names_an_organization(self) -> ReviewsSettings:
        if self.verified and not self.organization:
            raise ValueError("verified needs organization")
        return self


class ServiceSettings(BaseSettings):
    """Settings of API, workers, watcher and supervisor alike."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    host: str = Field("127.0.0.1", description="Address of the API.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the API.")
    published: str | None = Field(
        None, description="ADDRESS:PORT by which a proxy in front offers the API; held to the same rule as `host`."
    )
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (), description="Addresses or networks whose X-Forwarded-For and -Proto are believed; none: nobody's."
    )
    data_folder: Path = Field(
        Path("out/service"), description="spool/, cache/, results/ and the embedded postgres/; shared by all machines."
    )
    models_folder: Path = Path("models")
    line_config: Path | None = Field(None, description="app.yaml of the line; None: the one beside the package.")
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    database: DatabaseSettings = DatabaseSettings()
    workers: WorkersSettings = WorkersSettings()
    queue: QueueSettings = QueueSettings()
    uploads: UploadsSettings = UploadsSettings()
    cache: CacheSettings = CacheSettings()
    results: ResultsSettings = ResultsSettings()
    archives: dict[str, ArchiveSettings] = Field(default_factory=dict, description="By name: all that may be asked.")
    destinations: tuple[str, ...] = Field((), description="Names of the archives that results are pushed to.")
    watch: WatchSettings = WatchSettings()
    listener: ListenerSettings | None = Field(None, description="A C-STORE provider of our own; None: there is none.")
    auth: AuthSettings = AuthSettings()
    cors_origins: tuple[str, ...] = Field((), description="Other pages that may call the API.")
    rate_limit: RateLimitSettings = RateLimitSettings()
    webhook: WebhookSettings = WebhookSettings()
    reviews: ReviewsSettings = ReviewsSettings()
    viewer_url: str | None = Field(
        None, description="Link to a viewer; {study_instance_uid} stands for the study.", pattern=r"^(https?://|/)"
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _not_everybody_is_a_proxy(cls, networks: tuple[IPvAnyNetwork, ...]) -> tuple[IPvAnyNetwork, ...]:
        if any(network.prefixlen == 0 for network in networks):
            raise ValueError("a network of all addresses would let everybody say where he calls from")
        return networks

    @model_validator(mode="after")
    def _names_are_archives(self) -> ServiceSettings:
        named = [*self.destinations, *([self.watch.archive] if self.watch.archive else [])]
        for name in named:
            if name not in self.archives:
                raise ValueError(f"there is no archive {name!r} among archives")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments before the environment before the YAML file; no .env file and no secrets folder."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)


def read_service_settings(
    config_file: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> ServiceSettings:
    """Read the settings from all their sources and check the address that they bind.

    Args:
        config_file: YAML; by default the one that LUNG_NODULES_SERVICE_CONFIG names, if any.
        overrides: Values from the command line, by name; nested ones as mappings.

    Raises:
        UsageRefusal: ``bad-settings`` when a file cannot be read or a value is not valid; ``insecure-address`` when
            everybody could call the API without having to say who they are.
    """
    path = config_file or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if path is not None and not path.is_file():
        raise UsageRefusal("bad-settings", f"There is no settings file {path}.")

    class Sourced(ServiceSettings):
        model_config = SettingsConfigDict(yaml_file=path)

    try:
        settings = Sourced(**dict(overrides or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "as a whole"
        raise UsageRefusal("bad-settings", f"The service's setting {where} is not valid: {first['msg']}.") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageRefusal("bad-settings", f"The service's settings cannot be read: {type(error).__name__}.") from error
    check_address(settings)
    _check_listener(settings.listener)
    return settings


def check_address(settings: ServiceSettings) -> None:
    """Refuse an address that others can reach where nobody has to prove who they are: ours, or a proxy's in front.

    Raises:
        UsageRefusal: ``insecure-address``.
    """
    if settings.auth.mode == "oidc":
        return
    places = [("binds", settings.host, settings.host)]
    if settings.published is not None:
        places.append(("is published on", settings.published.rpartition(":")[0].strip("[]"), settings.published))
    for does, host, shown in places:
        if not is_loopback(host):
            raise UsageRefusal(
                "insecure-address",
                f"With auth.mode={settings.auth.mode} the service {does} loopback addresses alone, not {shown}.",
                "Set auth.mode=oidc with issuer, audience and jwks_url, or take 127.0.0.1.",
            )


def _check_listener(listener: ListenerSettings | None) -> None:
    """Refuse a listener to which anybody on the network could send, whatever they call themselves."""
    if listener is not None and listener.is_open:
        raise UsageRefusal(
            "insecure-address",
            f"Without allowed_ae_titles the listener binds loopback addresses alone, not {listener.host}.",
            "Set listener.allowed_ae_titles to those who may send, and listener.allowed_hosts to where they are.",
        )


def read_secret(path: Path) -> str:
    """Read the one secret that a file holds, without the line's end.

    Raises:
        UsageRefusal: ``bad-settings`` when the file cannot be read or is empty; the secret is never in the sentence.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageRefusal("bad-settings", f"The secret file {path} cannot be read.") from error
    if not secret:
        raise UsageRefusal("bad-settings", f"The secret file {path} is empty.")
    return secret
