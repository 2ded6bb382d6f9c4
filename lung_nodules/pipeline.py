"""The line: a folder of DICOM files goes in, a report with its volume and outlines comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lung_nodules.execution import Task
from lung_nodules.networks.opened import Networks
from lung_nodules.provenance import describe_run
from lung_nodules.results import write_results
from lung_nodules.settings import Settings
from lung_nodules.stages.classification import Finding, classify_nodules
from lung_nodules.stages.detection import detect_candidates
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.lungs import Lungs, segment_lungs
from lung_nodules.stages.nodules import measure_nodules
from lung_nodules.stages.quality import check_quality
from lung_nodules.stages.report import EarlierDocument, build_report
from lung_nodules.stages.report_model import Report
from lung_nodules.stages.segmentation import Outlines, segment_candidates
from lung_nodules.stages.series import select_series
from lung_nodules.stages.volume import Volume, build_volume
from lung_nodules.timings import Stopwatch


@dataclass(frozen=True)
class Analysis:
    """What one study came to."""

    report: Report
    volume: Volume
    lungs: Lungs
    outlines: Outlines


def analyse(
    input_folder: Path,
    networks: Networks,
    settings: Settings,
    watch: Stopwatch | None = None,
    earlier: EarlierDocument | None = None,
) -> Analysis:
    """Read one study and find, outline, measure and rate the nodules in it.

    Args:
        input_folder: DICOM files at any depth; other files are passed over.
        networks: Opened once, for any number of studies.
        settings: One section a stage.
        watch: Takes the times that the report gives, and tells how far the line is; silent by default.
        earlier: The SR of the version of the study before; see `build_report`.

    Raises:
        InputRefusal: There is no CT that can be read, with the reason.
    """
    watch = watch or Stopwatch()
    with watch.stage("instances"):
        instances = read_instances(input_folder, settings)
    with watch.stage("series"):
        selection = select_series(instances, settings)
    with watch.stage("volume"):
        volume = build_volume(selection, settings)
    with watch.stage("lungs"):
        lungs = segment_lungs(volume, settings)
    with watch.stage("quality"):
        quality = check_quality(selection, volume, lungs, settings)
    outlines, findings = find_nodules(volume, lungs, networks, settings, watch)
    with watch.stage("report"):
        provenance = describe_run(selection, networks, settings, watch)
        parts = (selection, quality, volume, lungs, outlines, findings)
        report = build_report(*parts, provenance, settings, earlier)
    return Analysis(report, volume, lungs, outlines)


def find_nodules(
    volume: Volume, lungs: Lungs, networks: Networks, settings: Settings, watch: Stopwatch
) -> tuple[Outlines, tuple[Finding, ...]]:
    """The middle of the line, from a CT and its lungs to outlined, measured and rated findings."""
    with watch.stage("detection"):
        candidates = detect_candidates(volume, lungs, networks.finder, settings, watch)
    with watch.stage("segmentation"):
        outlines = segment_candidates(volume, lungs, candidates, networks.outliner, settings, watch)
    with watch.stage("nodules"):
        nodules = measure_nodules(volume, lungs, outlines, settings)
    with watch.stage("classification"):
        findings = classify_nodules(volume, nodules, networks.classifier, settings, watch)
    return outlines, findings


def run(task: Task) -> None:
    """Analyse what the task names and publish the results: the line of `lung-nodules exec`."""
    analysis = analyse(task.input_folder, task.networks, task.settings, task.watch)
    with task.watch.stage("results"):
        write_results(analysis.report, analysis.volume, analysis.outlines, task.output_folder, task.settings)
