"""What names the models, the settings and the software that a result comes from."""

from __future__ import annotations

from lung_nodules import __version__
from lung_nodules.execution import OWN_CONFIG_FILE
from lung_nodules.service.settings import ServiceSettings, WorkersSettings
from lung_nodules.settings import Settings, read_settings
from lung_nodules.stages.identifiers import digest_settings, digest_text

LINE_ANALYSIS: str = WorkersSettings.model_fields["analysis"].default


def hash_models(settings: ServiceSettings) -> str:
    """SHA-256 over all that may change a result but the study: models, settings of the line, version.

    Raises:
        ModelRefusal: A model is missing.
        UsageRefusal: ``bad-settings``.
    """
    if settings.workers.analysis != LINE_ANALYSIS:
        return digest_text(["analysis", settings.workers.analysis, __version__])
    from lung_nodules.networks.record import KINDS, read_record

    records = [read_record(settings.models_folder / kind).model_dump_json() for kind in KINDS]
    return digest_text([*records, digest_settings(read_line_settings(settings)), __version__])


def read_line_settings(settings: ServiceSettings) -> Settings:
    """The settings of the line: the file that is named, else the app.yaml beside the package, else the defaults.

    Raises:
        UsageRefusal: ``bad-settings``.
    """
    if settings.line_config is not None:
        return read_settings(settings.line_config)
    return read_settings(OWN_CONFIG_FILE) if OWN_CONFIG_FILE.is_file() else Settings()
