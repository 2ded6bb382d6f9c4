"""How a run was made, for its report."""

from __future__ import annotations

from lung_nodules import __version__
from lung_nodules.networks.opened import Networks
from lung_nodules.networks.record import ModelRecord
from lung_nodules.settings import Settings
from lung_nodules.stages.identifiers import digest_settings, digest_text
from lung_nodules.stages.report import ModelIdentity, Provenance
from lung_nodules.stages.series import Selection
from lung_nodules.timings import Stopwatch, peak_memory_mib


def describe_run(selection: Selection, networks: Networks, settings: Settings, watch: Stopwatch) -> Provenance:
    """Name all that had a part in a run: software, models, runtime, device, settings; and what it took so far."""
    opened = (networks.finder, networks.outliner, networks.classifier)
    return Provenance(
        software_version=__version__,
        models=tuple(_identify(network.record, settings) for network in opened),
        runtime=networks.finder.identity.runtime,
        device=networks.finder.identity.device,
        settings_sha256=digest_settings(settings),
        records_sha256=digest_text(network.record.model_dump_json() for network in opened),
        passed_over=selection.passed_over,
        seconds_by_stage=watch.seconds,
        peak_memory_mib=peak_memory_mib(),
    )


def _identify(record: ModelRecord, settings: Settings) -> ModelIdentity:
    name, point = None, None
    if record.operating_points:
        wanted = settings.classification.operating_point if record.kind == "classification" else "default"
        name, point = record.operating_point(wanted)
    return ModelIdentity(
        name=record.name,
        kind=record.kind,
        version=record.version,
        sha256=record.weights_sha256,
        operating_point=name,
        false_positives_per_scan=point.false_positives_per_scan if point else None,
    )
