"""What the command line prints as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.table import Table

from lung_nodules.errors import UsageRefusal

if TYPE_CHECKING:
    from lung_nodules.networks.record import ModelRecord, Score
    from lung_nodules.phantom import NoduleTruth
    from lung_nodules.stages.report_model import FindingReport, Report

_FINDING_COLUMNS = ("finding", "mm", "mm3", "density", "suspicion", "slice", "side")
_COMPARISON_COLUMNS = ("found", "mm", "suspicion", "slice")  # no more than fit into 80 characters


def models_table(records: Sequence[ModelRecord]) -> Table:
    """One row a model: what it is, what it scored and where, the SHA-256 of its weights."""
    table = Table("model", "version", "scores", "weights (SHA-256)", show_lines=True)
    for record in records:
        scores = "\n".join(map(_describe_score, record.scores)) or "not measured"
        table.add_row(f"{record.kind}\n{record.name}", record.version, scores, record.weights_sha256)
    return table


def results_table(results: Path, truth: Path | None = None) -> Table:
    """The findings of a run, beside what was put in where that is known.

    Args:
        results: Output folder of a run.
        truth: The `truth.json` of a phantom.

    Raises:
        UsageRefusal: ``no-report`` where the folder holds no report of findings; ``bad-truth``.
    """
    from lung_nodules.phantom import PhantomTruth
    from lung_nodules.stages.report_model import Report

    try:
        report = Report.model_validate_json((results / "report.json").read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageRefusal("no-report", f"There is no report of findings in {results}.") from error
    if truth is None:
        return findings_table(report)
    try:
        return comparison_table(report, PhantomTruth.model_validate_json(truth.read_bytes()).nodules)
    except (OSError, ValidationError) as error:
        raise UsageRefusal("bad-truth", f"{truth} does not hold the truth of a phantom.") from error


def findings_table(report: Report) -> Table:
    """One row a finding."""
    table = Table(*_FINDING_COLUMNS, title=_title(report))
    for finding in report.findings:
        table.add_row(*_describe_finding(finding))
    return table


def comparison_table(report: Report, truth: Sequence[NoduleTruth]) -> Table:
    """One row a nodule that was put in, with the finding that hits it; then the findings that hit none.

    A finding hits the nearest nodule whose centre is less than half its diameter away, as in LUNA16 (Setio 2017,
    Medical Image Analysis 42:1); of several findings in one nodule, the nearest is shown beside it.
    """
    table = Table("put in", "kind", "mm", *_COMPARISON_COLUMNS, title=_title(report))
    pairs = pair_findings(report.findings, truth)
    for nodule in truth:
        hit = pairs.get(nodule.nodule_id)
        found = _describe_shortly(hit) if hit else ("missed",)
        table.add_row(nodule.nodule_id, nodule.kind, f"{nodule.longest_axial_diameter_mm:.1f}", *found)
    paired = {finding.finding_id for finding in pairs.values()}
    for finding in report.findings:
        if finding.finding_id not in paired:
            table.add_row("-", "", "", *_describe_shortly(finding))
    return table


def pair_findings(findings: Sequence[FindingReport], truth: Sequence[NoduleTruth]) -> dict[str, FindingReport]:
    """The finding nearest to each nodule that one hits, by the nodule's id; a finding is given to one nodule only."""
    distances = sorted(
        (math.dist(finding.position.center_lps_mm, nodule.center_lps), nodule.nodule_id, finding.finding_id)
        for finding in findings
        for nodule in truth
        if math.dist(finding.position.center_lps_mm, nodule.center_lps) < nodule.longest_axial_diameter_mm / 2
    )
    by_id = {finding.finding_id: finding for finding in findings}
    pairs: dict[str, FindingReport] = {}
    for _, nodule_id, finding_id in distances:
        if nodule_id not in pairs and by_id[finding_id] not in pairs.values():
            pairs[nodule_id] = by_id[finding_id]
    return pairs


def _title(report: Report) -> str:
    return f"{len(report.findings)} finding(s), the study: {report.classification_result}"


def _describe_finding(finding: FindingReport) -> tuple[str, ...]:
    size = finding.size
    return (
        finding.finding_id,
        f"{size.long_axis_mm:.1f} x {size.short_axis_mm:.1f}",
        f"{size.volume_mm3:.0f}",
        finding.density,
        f"{finding.suspicion_score:.2f} {finding.suspicion}",
        str(finding.position.slice.viewer_number),
        finding.position.side or "-",
    )


def _describe_shortly(finding: FindingReport) -> tuple[str, ...]:
    name, size, _, _, suspicion, number, _ = _describe_finding(finding)
    return name, size, suspicion, number


def _describe_score(score: Score) -> str:
    interval = "" if score.low is None or score.high is None else f" ({score.low:.3f}-{score.high:.3f})"
    return f"{score.name} {score.value:.3f}{interval}, n = {score.n}, {score.cohort}"
