"""What the command line prints as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lung_nodules.errors import UsageRefusal

if TYPE_CHECKING:
    from lung_nodules.networks.record import ListedModel, Score
    from lung_nodules.phantom import NoduleTruth
    from lung_nodules.stages.report_model import FindingReport, Report

# No more than fit into 80 characters. P is the probability that it is a nodule.
_FINDING_COLUMNS = ("id", "mm", "mm3", "density", "P", "suspicion", "slice", "side")
_COMPARISON_COLUMNS = ("found", "mm", "P", "suspicion", "slice")
_CAPTION = "P: it is a nodule. Suspicion: P x what readers would suspect then."
_NUMBERS = {"mm", "mm3", "slice"}


def models_table(models: Sequence[ListedModel]) -> Group:
    """A block a model: what it is, the whole SHA-256 of its weights and what is wrong with them, a line a score."""
    lines: list[Text | Table] = []
    for model in models:
        record = model.record
        lines += [Text(f"{record.kind}: {record.name}, version {record.version}", style="bold")]
        lines += [Text(f"  SHA-256 {record.weights_sha256}")]
        if model.fault:
            lines += [Text(f"  {model.fault.code.removeprefix('model-')}: {model.fault.sentence}", style="red")]
        for cohort in dict.fromkeys((score.cohort, score.n) for score in record.scores):
            lines += [Text(f"  {cohort[0]}, n = {cohort[1]}", style="dim"), _scores_table(record.scores, cohort)]
        lines += [Text("" if record.scores else "  not measured\n")]
    return Group(*lines)


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
    table = _table(*_FINDING_COLUMNS, title=_title(report))
    for finding in report.findings:
        table.add_row(*_describe_finding(finding))
    return table


def comparison_table(report: Report, truth: Sequence[NoduleTruth]) -> Table:
    """One row a nodule that was put in, with the finding that hits it; then the findings that hit none.

    A finding hits the nearest nodule whose centre is less than half its diameter away, as in LUNA16 (Setio 2017,
    Medical Image Analysis 42:1); of several findings in one nodule, the nearest is shown beside it.
    """
    table = _table("put in", "mm", *_COMPARISON_COLUMNS, title=_title(report))
    pairs = pair_findings(report.findings, truth)
    for nodule in truth:
        hit = pairs.get(nodule.nodule_id)
        found = _describe_shortly(hit) if hit else ("missed",)
        table.add_row(f"{nodule.nodule_id} {nodule.kind}", f"{nodule.longest_axial_diameter_mm:.1f}", *found)
    paired = {finding.finding_id for finding in pairs.values()}
    for finding in report.findings:
        if finding.finding_id not in paired:
            table.add_row("-", "", *_describe_shortly(finding))
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


def _table(*columns: str, title: str) -> Table:
    """A table of which no cell is wrapped."""
    table = Table(
        title=title, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), caption=_CAPTION
    )
    for name in columns:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    return table


def _title(report: Report) -> str:
    return f"{len(report.findings)} finding(s), the study: {report.classification_result}"


def _describe_finding(finding: FindingReport) -> tuple[str, ...]:
    size = finding.size
    return (
        finding.finding_id,
        f"{size.long_axis_mm:.1f} x {size.short_axis_mm:.1f}",
        f"{size.volume_mm3:.0f}",
        finding.density,
        f"{finding.nodule_probability:.2f}",
        f"{finding.overall_suspicion:.2f} {finding.suspicion}",
        str(finding.position.slice.viewer_number),
        finding.position.side or "-",
    )


def _describe_shortly(finding: FindingReport) -> tuple[str, ...]:
    name, size, _, _, probability, suspicion, number, _ = _describe_finding(finding)
    return name, size, probability, suspicion, number


def _scores_table(scores: Sequence[Score], cohort: tuple[str, int]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for score in scores:
        if (score.cohort, score.n) == cohort:
            table.add_row(Text(f"    {score.value:.3f}{_interval(score)}"), Text(score.name))
    return table


def _interval(score: Score) -> str:
    return "" if score.low is None or score.high is None else f" ({score.low:.3f} to {score.high:.3f})"
