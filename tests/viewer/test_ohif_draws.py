"""A real OHIF lists and draws our SEG and SR over the CT; the pictures are kept in out/viewer."""

from __future__ import annotations

import numpy as np
import pytest

from lung_nodules.writers import dicom_seg, dicom_sr

pytestmark = [pytest.mark.viewer, pytest.mark.slow, pytest.mark.timeout(1200)]

GREEN = (0, 255, 0)  # of a measurement that was clicked on


@pytest.fixture(scope="module")
def viewer(opened):
    """The study in OHIF, with the SEG and then the SR opened."""
    from ohif_page import Viewer, open_browser

    with open_browser() as page:
        viewer = Viewer(page, opened.address, opened.study.report.study.study_instance_uid, opened.pictures)
        viewer.keep_picture("1-study")
        viewer.open_segmentation(dicom_seg.SERIES_DESCRIPTION)
        viewer.keep_picture("2-segments")
        viewer.names_seen = [viewer.listed(f"Nodule {each.finding_id}") for each in opened.study.report.findings]
        viewer.open_report(dicom_sr.SERIES_DESCRIPTION)
        viewer.keep_picture("3-measurements")
        yield viewer


def test_the_page_may_share_memory(viewer):
    assert viewer.is_isolated


def test_every_segment_is_listed(viewer, opened):
    findings = opened.study.report.findings
    assert findings
    assert viewer.segments() == [f"Nodule {each.finding_id}" for each in findings]
    assert all(viewer.names_seen)


def test_every_voxel_of_a_segment_is_in_its_place_on_the_ct(viewer, opened):
    report = opened.study.report
    voxel_mm3 = float(np.prod(report.protocol.spacing_mm))
    expected = {
        number: pytest.approx(each.size.volume_mm3 / voxel_mm3, abs=0.5)
        for number, each in enumerate(report.findings, start=1)
    }
    assert viewer.num_voxels() == expected


def test_every_finding_is_listed_by_name_with_its_axes(viewer, opened):
    report = opened.study.report
    measured = viewer.measurements()
    assert [each["label"] for each in measured] == [f"{each.finding_id} {each.suspicion}" for each in report.findings]
    for each, finding in zip(measured, report.findings, strict=True):
        assert each["tool"] == "Bidirectional"
        lengths_mm = [float(line.split()[1]) for line in each["lines"]]
        assert lengths_mm == pytest.approx([finding.size.long_axis_mm, finding.size.short_axis_mm], rel=0.01)
        assert each["sop_instance_uid"] == finding.size.axes_slice.sop_instance_uid
        assert each["series_instance_uid"] == report.study.series_instance_uid
        assert viewer.listed(each["label"])


def test_the_axes_lie_where_they_were_measured(viewer, opened):
    for each, finding in zip(viewer.measurements(), opened.study.report.findings, strict=True):
        ends = [*finding.size.long_axis_ends_lps_mm, *finding.size.short_axis_ends_lps_mm]
        assert np.array(each["points"]) == pytest.approx(np.array(ends), abs=0.01)


def test_a_click_on_a_finding_shows_it_with_its_segment_and_its_axes(viewer, opened):
    for row, finding in enumerate(opened.study.report.findings[:3]):
        viewer.jump_to(row, finding.size.axes_slice.sop_instance_uid)
        start, _ = (np.array(end) for end in finding.size.long_axis_ends_lps_mm)
        low, high = (np.array(end) for end in finding.size.short_axis_ends_lps_mm)
        on_axis = (low + high) / 2
        between = (on_axis + start) / 2 * 0.5 + low * 0.5  # two axes, within the outline
        assert viewer.wait_until(lambda place=on_axis: _has(viewer.color_at(place), GREEN))
        assert viewer.wait_until(lambda place=between: _is_tinted(viewer.color_at(place, reach=1)))
        viewer.keep_picture(f"4-{finding.finding_id}")


def test_nothing_went_wrong_on_the_page(viewer):
    assert viewer.errors == []


def _has(colors, wanted, tolerance=60):
    return bool((np.abs(colors - np.array(wanted)).max(axis=1) <= tolerance).any())


def _is_tinted(colors):
    """A CT is grey; what lies over it is not."""
    return bool((np.ptp(colors, axis=1) > 25).any())
