"""The findings as a contact sheet: for people without a viewer, and for archives that cannot show segmentations.

A row a finding: where it is in the whole slice, then itself in its axial, coronal and sagittal plane with its outline,
and its numbers. The sheet names no patient, no date and no UID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lung_nodules.settings import PicturesSettings
from lung_nodules.stages.report_model import FindingReport, Report
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Volume
from lung_nodules.writers import canvas
from lung_nodules.writers.palette import Rgb, finding_color
from lung_nodules.writers.views import Cut, Plane, Window, cut_through

_MARGIN, _GAP, _PANEL = 56, 16, 430
_WIDTH = 2 * _MARGIN + 4 * _PANEL + 3 * _GAP
_HEADING, _CAPTION, _ROW_GAP, _FOOTING = 164, 92, 40, 84
_ROW = _CAPTION + _PANEL + _ROW_GAP
_CAPTION_LEFTS = (170, 502, 740, 948, 1220, 1500, 1664)
_GAUGE = 220
_COMPRESSION = 3  # half the time of the usual 6 for 5 % more bytes
_CROP_STEPS_MM = (40.0, 60.0, 80.0, 120.0, 160.0, 240.0)
_CROP_TO_NODULE = 2.2  # a crop is at least this many times as wide as what it shows
_CHEST_MARGIN_MM = 40.0  # around the lungs in a whole slice
_NOTICE = "RESEARCH USE ONLY - NOT FOR CLINICAL USE"
_FOOTNOTES = (
    "Size: longest axial diameter x its perpendicular. Slice: as a viewer counts, in the order of Instance Number.",
    "Nodule: probability that it is one. Suspicion, 0 to 1: that probability times how suspicious readers of the "
    "LIDC-IDRI collection would find such a nodule. It is no diagnosis and no measure of disease.",
)


@dataclass(frozen=True)
class _Scene:
    """What every panel of one result has in common."""

    report: Report
    volume: Volume
    outlines: Outlines
    settings: PicturesSettings


def write_pictures(
    report: Report, volume: Volume, outlines: Outlines, folder: Path, settings: PicturesSettings | None = None
) -> tuple[Path, ...]:
    """Write ``findings.png`` and, where one sheet does not hold all, ``findings-2.png`` and so on.

    Args:
        report: The findings and their numbers.
        volume: The CT.
        outlines: The label map on its grid.
        folder: Where to; it exists.
        settings: The window and the rows of a sheet.

    Returns:
        The paths of the sheets, at least one: without a finding it shows the middle of the lungs and says so.

    Raises:
        OSError: A file cannot be written.
    """
    scene = _Scene(report, volume, outlines, settings or PicturesSettings())
    paths = []
    pages = _paginate(report.findings, scene.settings.findings_per_sheet)
    for page, rows in enumerate(pages, start=1):
        path = folder / ("findings.png" if page == 1 else f"findings-{page}.png")
        _draw_sheet(scene, rows, page, len(pages)).save(path, compress_level=_COMPRESSION)
        paths.append(path)
    return tuple(paths)


def _paginate(findings: Sequence[FindingReport], rows: int) -> list[list[tuple[int, FindingReport]]]:
    """The findings with their numbers, so many a page; one empty page where there are none."""
    numbered = list(enumerate(findings, start=1))
    return [numbered[first : first + rows] for first in range(0, len(numbered), rows)] or [[]]


def _draw_sheet(scene: _Scene, rows: Sequence[tuple[int, FindingReport]], page: int, num_pages: int) -> Image.Image:
    height = _HEADING + max(len(rows), 1) * _ROW - _ROW_GAP + _FOOTING
    sheet = Image.new("RGB", (_WIDTH, height), canvas.BACKGROUND)
    _write_heading(sheet, scene, page, num_pages)
    for place, (number, finding) in enumerate(rows):
        top = _HEADING + place * _ROW
        _write_caption(sheet, top, number, finding, scene.report.protocol.num_slices)
        _paste_row(sheet, top + _CAPTION, _finding_panels(scene, number, finding))
    if not rows:
        canvas.write_text(sheet, (_MARGIN, _HEADING + _CAPTION - 32), "The middle of the lungs", 24, canvas.QUIET)
        _paste_row(sheet, _HEADING + _CAPTION, _lung_panels(scene))
    for line, note in enumerate(_FOOTNOTES if rows else _footnotes_without_finding(scene.report)):
        canvas.write_text(sheet, (_MARGIN, height - _FOOTING + 36 + 22 * line), note, 15, canvas.QUIET)
    return sheet


def _write_heading(sheet: Image.Image, scene: _Scene, page: int, num_pages: int) -> None:
    protocol, count = scene.report.protocol, len(scene.report.findings)
    between, rows, columns = protocol.spacing_mm
    found = {0: "No nodule found", 1: "1 finding"}.get(count, f"{count} findings")
    canvas.write_text(sheet, (_MARGIN, 82), found, 44)
    details = (
        f"Chest CT, {protocol.num_slices} slices",
        f"voxels {columns:.2f} x {rows:.2f} x {between:.2f} mm",
        f"window {scene.settings.window_center_hu:.0f} / {scene.settings.window_width_hu:.0f} HU",
    )
    canvas.write_text(sheet, (_MARGIN, 118), "  \u00b7  ".join(details), 18, canvas.QUIET)
    _write_notice(sheet)
    software = f"{scene.report.software.name} {scene.report.software.version}"
    place = f"{software}  \u00b7  sheet {page} of {num_pages}" if num_pages > 1 else software
    canvas.write_text(sheet, (_WIDTH - _MARGIN, 118), place, 18, canvas.QUIET, anchor="rs")
    ImageDraw.Draw(sheet).line([(_MARGIN, 144), (_WIDTH - _MARGIN, 144)], fill=canvas.RULE)


def _write_notice(sheet: Image.Image) -> None:
    """The notice in a frame, so that no one who cuts the sheet up can say that it was small print."""
    width = canvas.font(17).getlength(_NOTICE)
    right, top, bottom = _WIDTH - _MARGIN, 50, 86
    frame = (right - width - 36, top, right, bottom)
    ImageDraw.Draw(sheet).rounded_rectangle(frame, radius=18, outline=canvas.NOTICE, width=2)
    canvas.write_text(sheet, (right - 18, (top + bottom) / 2), _NOTICE, 17, canvas.NOTICE, anchor="rm")


def _write_caption(sheet: Image.Image, top: int, number: int, finding: FindingReport, num_slices: int) -> None:
    """One line of numbers above a row: the finding's name in its colour, then named values."""
    baseline = top + _CAPTION - 30
    canvas.write_text(sheet, (_MARGIN, baseline), finding.finding_id, 42, finding_color(number))
    size, place = finding.size, finding.position
    values = (
        ("Size", f"{size.long_axis_mm:.1f} x {size.short_axis_mm:.1f} mm"),
        ("Volume", f"{size.volume_mm3:,.0f} mm"),
        ("Nodule", f"{finding.nodule_probability:.2f}"),
        ("Suspicion", f"{finding.overall_suspicion:.2f}  {finding.suspicion}"),
        ("Density", f"{finding.density}, {finding.mean_hu:.0f} HU"),
        ("Slice", f"{place.slice.viewer_number} of {num_slices}"),
        ("Side", place.side or "neither lung"),
    )
    for (name, value), left in zip(values, _CAPTION_LEFTS, strict=True):
        canvas.write_text(sheet, (left, baseline - 29), name, 15, canvas.QUIET)
        width = canvas.write_text(sheet, (left, baseline), value, 24)
        if name == "Volume":  # the typeface has no raised 3
            canvas.write_text(sheet, (left + width + 1, baseline - 9), "3", 15)
    _draw_gauge(sheet, _CAPTION_LEFTS[3], baseline + 11, finding.overall_suspicion, finding_color(number))


def _draw_gauge(sheet: Image.Image, left: int, top: int, share: float, color: Rgb) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + _GAUGE, top + 2), fill=canvas.RULE)
    draw.rectangle((left, top, left + round(_GAUGE * share), top + 2), fill=color)


def _footnotes_without_finding(report: Report) -> tuple[str, ...]:
    rejected = report.candidates.rejected
    candidates = "1 candidate was" if rejected == 1 else f"{rejected} candidates were"
    return (f"{candidates} outlined and judged not to be a nodule. Smaller or fainter nodules may have been missed.",)


def _finding_panels(scene: _Scene, number: int, finding: FindingReport) -> list[Image.Image]:
    """The whole slice with the crop's place, then the three crops."""
    geometry, place = scene.volume.geometry, finding.position
    crop = Window(place.center_voxel, _crop_extent_mm(scene, finding), _PANEL)
    whole = cut_through(Plane.AXIAL, geometry, _chest_window(scene), place.slice.index)
    overview = _draw_panel(scene, whole, f"Slice {place.slice.viewer_number}")
    x, y = whole.locate(place.center_voxel, geometry)
    half = crop.extent_mm / whole.window.pixel_mm / 2
    canvas.draw_box(overview, (x - half, y - half, x + half, y + half), finding_color(number))
    planes = {"Axial": Plane.AXIAL, "Coronal": Plane.CORONAL, "Sagittal": Plane.SAGITTAL}
    cuts = {name: cut_through(plane, geometry, crop, place.slice.index) for name, plane in planes.items()}
    return [overview, *(_draw_panel(scene, cut, name, finding) for name, cut in cuts.items())]


def _lung_panels(scene: _Scene) -> list[Image.Image]:
    """The middle of the lungs in three planes, the sagittal one through each lung."""
    geometry, window = scene.volume.geometry, _chest_window(scene)
    axial, coronal, sagittal = (cut_through(plane, geometry, window) for plane in Plane)
    first, last = scene.report.lungs.bounding_box_voxel
    across = sagittal.axes[2]
    quarter = (last[across] - first[across]) // 4
    low, high = (replace(sagittal, index=index) for index in (first[across] + quarter, last[across] - quarter))
    right, left = (low, high) if geometry.direction[across][0] > 0 else (high, low)
    cuts = {"Axial": axial, "Coronal": coronal, "Sagittal, right": right, "Sagittal, left": left}
    return [_draw_panel(scene, cut, name) for name, cut in cuts.items()]


def _draw_panel(scene: _Scene, cut: Cut, title: str, shown: FindingReport | None = None) -> Image.Image:
    """One labelled panel with the outlines in it, that of `shown` (None: all) strongest."""
    geometry, settings = scene.volume.geometry, scene.settings
    low_hu = settings.window_center_hu - settings.window_width_hu / 2
    hu = cut.resample(cut.take(scene.volume.array), geometry, order=3, outside=low_hu)
    gray = np.clip((hu - low_hu) * (255 / settings.window_width_hu), 0, 255).astype(np.uint8)
    image = Image.fromarray(gray).convert("RGB")
    labels = cut.take(scene.outlines.label_map)
    present = set(np.unique(labels).tolist())
    for number, finding in enumerate(scene.report.findings, start=1):
        if finding.outline_label in present:
            lines = cut.contours(labels == finding.outline_label, geometry)
            opacity = 1.0 if shown is None or finding is shown else 0.6
            canvas.draw_lines(image, lines, finding_color(number), 1.7, opacity)
    canvas.label_panel(image, title, cut.plane.letters, cut.window.pixel_mm)
    return image


def _chest_window(scene: _Scene) -> Window:
    """A square around both lungs, with the chest wall."""
    first, last = (np.asarray(corner) for corner in scene.report.lungs.bounding_box_voxel)
    size_mm = (last - first + 1) * np.asarray(scene.volume.geometry.spacing_mm)
    slices, rows, columns = ((first + last) / 2).tolist()
    return Window((slices, rows, columns), float(size_mm.max()) + 2 * _CHEST_MARGIN_MM, _PANEL)


def _crop_extent_mm(scene: _Scene, finding: FindingReport) -> float:
    """Few round extents, so that sizes can be compared from row to row."""
    needed_mm = _CROP_TO_NODULE * max(finding.size.long_axis_mm, finding.size.equivalent_sphere_diameter_mm)
    return next((step for step in _CROP_STEPS_MM if step >= needed_mm), _CROP_STEPS_MM[-1])


def _paste_row(sheet: Image.Image, top: int, panels: Sequence[Image.Image]) -> None:
    for column, panel in enumerate(panels):
        canvas.paste_panel(sheet, panel, (_MARGIN + column * (_PANEL + _GAP), top))
