from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from report_examples import PATIENT_NAME, drawn_study

from lung_nodules.settings import PicturesSettings
from lung_nodules.writers import canvas
from lung_nodules.writers.palette import finding_color
from lung_nodules.writers.pictures import write_pictures


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    study = drawn_study()
    (path,) = write_pictures(study.report(), study.volume, study.outlines, tmp_path_factory.mktemp("pictures"))
    assert path.name == "findings.png"
    return _read(path)


@pytest.fixture
def texts(monkeypatch):
    """Every text that is drawn, as it is drawn."""
    written = []
    draw_text = canvas.write_text

    def record(image, at, text, *args, **kwargs):
        written.append(text)
        return draw_text(image, at, text, *args, **kwargs)

    monkeypatch.setattr(canvas, "write_text", record)
    return written


def test_each_finding_is_outlined_in_its_color_in_all_four_panels(sheet):
    for row, number in enumerate((1, 2)):
        near = np.abs(sheet.astype(int) - finding_color(number)).max(axis=2) < 24
        top = 164 + row * 562 + 92
        for column in range(4):
            left = 56 + column * 446
            assert near[top : top + 430, left : left + 430].any()


def test_the_sheet_says_what_it_is_and_what_was_found(texts, tmp_path):
    study = drawn_study()
    report = study.report()
    write_pictures(report, study.volume, study.outlines, tmp_path)
    drawn = "\n".join(texts)
    assert "NOT FOR CLINICAL USE" in drawn
    assert "2 findings" in drawn
    for finding in report.findings:
        assert finding.finding_id in texts
        assert f"{finding.size.long_axis_mm:.1f} x {finding.size.short_axis_mm:.1f} mm" in texts
        assert f"{finding.position.slice.viewer_number} of 12" in texts
        assert f"{finding.nodule_probability:.2f}" in texts
        assert f"{finding.overall_suspicion:.2f}  {finding.suspicion}" in texts
    assert "no diagnosis" in drawn


@pytest.mark.parametrize("panel_mm", [20, 40, 60, 80, 120, 160, 240, 320, 343, 360, 399, 400, 401, 450, 600])
def test_the_scale_leaves_room_for_the_letter_below_the_middle(panel_mm):
    without_letters = Image.new("RGB", (430, 430))
    canvas.label_panel(without_letters, "", (" ", " ", " ", " "), panel_mm / 430)
    drawn = np.asarray(without_letters)[:, :, 0]
    assert drawn[400:, :200].any()
    assert not drawn[:, 203:].any(), "12 pixels from the middle, where the letter is"


def test_nothing_on_the_sheet_tells_who_the_patient_is(texts, tmp_path):
    study = drawn_study()
    (path,) = write_pictures(study.report(), study.volume, study.outlines, tmp_path)
    drawn = "\n".join(texts)
    for private in (*PATIENT_NAME.split("^"), "P-7", "2005", "1.2.3", "A-1"):
        assert private not in drawn
    with Image.open(path) as image:
        assert image.info == {}


def test_no_finding_gives_a_sheet_that_says_so(texts, tmp_path):
    study = drawn_study().without_findings()
    (path,) = write_pictures(study.report(), study.volume, study.outlines, tmp_path)
    assert path.name == "findings.png"
    assert "No nodule found" in texts
    assert "3 candidates were outlined and judged not to be a nodule." in "\n".join(texts)
    panel = _read(path)[256:686, 56:486]
    assert panel.std() > 5


def test_findings_that_do_not_fit_go_on_further_sheets(texts, tmp_path):
    study = drawn_study(num_nodules=6)
    paths = write_pictures(
        study.report(), study.volume, study.outlines, tmp_path, PicturesSettings(findings_per_sheet=4)
    )
    assert [path.name for path in paths] == ["findings.png", "findings-2.png"]
    assert [text for text in texts if text in {f"N{n}" for n in range(1, 9)}] == [f"N{n}" for n in range(1, 7)]
    assert any("sheet 2 of 2" in text for text in texts)


def test_a_second_run_draws_the_same_bytes(tmp_path):
    study = drawn_study()
    (path,) = write_pictures(study.report(), study.volume, study.outlines, tmp_path)
    before = path.read_bytes()
    write_pictures(study.report(), study.volume, study.outlines, tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("direction", [((0, 0, -1), (0, -1, 0), (1, 0, 0)), ((0, 0, 1), (0, 1, 0), (-1, 0, 0))])
def test_a_turned_scan_gives_the_same_picture(direction, tmp_path):
    """The same patient, stored feet first or mirrored: a reader sees no difference within the panels."""
    plain = drawn_study()
    flips = tuple(axis for axis in range(3) if min(direction[axis]) < 0)
    geometry = replace(plain.volume.geometry, direction=direction)
    corner = [geometry.shape[axis] - 1 if axis in flips else 0 for axis in range(3)]
    geometry = replace(geometry, origin_lps=tuple(plain.volume.geometry.to_world(corner)))
    turned = replace(
        plain,
        volume=replace(plain.volume, array=np.flip(plain.volume.array, flips), geometry=geometry),
        outlines=replace(plain.outlines, label_map=np.flip(plain.outlines.label_map, flips)),
        findings=tuple(_turn(finding, geometry) for finding in plain.findings),
    )
    sheets = []
    for name, study in (("plain", plain), ("turned", turned)):
        (tmp_path / name).mkdir()
        (path,) = write_pictures(study.report(), study.volume, study.outlines, tmp_path / name)
        sheets.append(_read(path).astype(int))
    panels = np.s_[300:650, 502:1824]  # the crops, below the caption with its slice number
    assert np.abs(sheets[0][panels] - sheets[1][panels]).mean() < 0.5


def _read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def _turn(finding, geometry):
    center_ijk = tuple(float(part) for part in geometry.to_index(finding.nodule.center_lps))
    return replace(finding, nodule=replace(finding.nodule, center_ijk=center_ijk, key_slice=round(center_ijk[0])))


def test_the_colors_of_all_findings_differ():
    colors = np.array([finding_color(number) for number in range(1, 61)])
    assert colors.min() >= 0
    assert colors.max() <= 255
    assert len(np.unique(colors, axis=0)) == 60
    distance = np.abs(colors[:8, None] - colors[None, :8]).max(axis=2)[~np.eye(8, dtype=bool)]
    assert distance.min() >= 35
