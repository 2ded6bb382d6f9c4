"""What names the models, the settings and the software that a result comes from."""

from __future__ import annotations

from lung_nodules import __version__
from lung_nodules.execution import digest_setup, read_line_settings
from lung_nodules.networks.record import load_models
from lung_nodules.service.settings import ServiceSettings, WorkersSettings
from lung_nodules.stages.identifiers import digest_text

LINE_ANALYSIS: str = WorkersSettings.model_fields["analysis"].default


def hash_models(settings: ServiceSettings) -> str:
    """The hash of the line as it would read a study now; of another analysis in its place, that of its name.

    Raises:
        ModelRefusal: A model is missing.
        UsageRefusal: ``bad-settings``.
    """
    if settings.workers.analysis != LINE_ANALYSIS:
        return digest_text(["analysis", settings.workers.analysis, __version__])
    return digest_setup(settings.models_folder, read_line_settings(settings.line_config))


def check_models(settings: ServiceSettings) -> None:
    """Refuse models, weights included, and settings of the line with which no study could be read.

    Raises:
        ModelRefusal: A model is missing, altered or does not fit.
        UsageRefusal: ``bad-settings``.
    """
    if settings.workers.analysis == LINE_ANALYSIS:
        read_line_settings(settings.line_config)
        load_models(settings.models_folder)
