"""What every study of a batch is read with, as one hash: another one means that all of them are read anew."""

from __future__ import annotations

from pathlib import Path

from lung_nodules import __version__
from lung_nodules.settings import Settings
from lung_nodules.stages.identifiers import digest_settings, digest_text


def digest_setup(models_folder: Path, settings: Settings) -> str:
    """SHA-256 of software, models and settings.

    Raises:
        ModelRefusal: A model is missing or altered: better told before the first study than by each of them.
    """
    from lung_nodules.networks.record import load_models

    models = [model.record.model_dump_json() for model in load_models(models_folder)]
    return digest_text([__version__, digest_settings(settings), *models])
