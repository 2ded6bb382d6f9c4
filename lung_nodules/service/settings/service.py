"""All settings of the service, and which source of them wins."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, IPvAnyNetwork, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from lung_nodules.archive.settings import ArchiveSettings, ListenerSettings
from lung_nodules.service.settings.access import (
    AuthSettings,
    Origin,
    RateLimitSettings,
    ReviewsSettings,
    UploadsSettings,
)
from lung_nodules.service.settings.jobs import (
    CacheSettings,
    DatabaseSettings,
    QueueSettings,
    ResultsSettings,
    RetentionSettings,
    WatchSettings,
    WebhookSettings,
    WorkersSettings,
)

PREFIX = "LUNG_NODULES_SERVICE__"


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
    port: int = Field(8080, ge=1, le=65535, description="Port of the API.")
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
    retention: RetentionSettings = RetentionSettings()
    archives: dict[str, ArchiveSettings] = Field(default_factory=dict, description="By name: all that may be asked.")
    destinations: tuple[str, ...] = Field((), description="Names of the archives that results are pushed to.")
    watch: WatchSettings = WatchSettings()
    listener: ListenerSettings | None = Field(None, description="A C-STORE provider of our own; None: there is none.")
    auth: AuthSettings = AuthSettings()
    cors_origins: tuple[Origin, ...] = Field((), description="Origins of other pages that may call the API.")
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
