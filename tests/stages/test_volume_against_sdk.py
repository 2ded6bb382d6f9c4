"""The nine defects of the SDK's DICOM operators, each on files on which they fail and our reader does not.

The operators are run without a graph, by the methods that their `compute` calls.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from ct_files import BEAD_LPS, CTSeries, bead_center_lps, expected_hu, read_volume, save, select, set_pixels

from lung_nodules.errors import InputRefusal
from lung_nodules.surroundings import load_cuda_runtime

pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' (function|method) is deprecated:DeprecationWarning")


class SdkReader:
    """Loader, selector and series-to-volume operator, called as the graph calls them."""

    def __init__(self) -> None:
        load_cuda_runtime()
        pytest.importorskip("holoscan.core", reason="holoscan does not start here", exc_type=ImportError)
        from monai.deploy.core import Fragment
        from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
        from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
        from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator

        fragment = Fragment()
        self.loader = DICOMDataLoaderOperator(fragment, name="loader")
        self.selector = DICOMSeriesSelectorOperator(fragment, name="selector")
        self.converter = DICOMSeriesToVolumeOperator(fragment, name="converter", affine_lps_to_ras=False)

    def select(self, folder: Path, rules: Any = None) -> Any:
        return self.selector.filter(rules, self.loader.load_data_to_studies(folder))

    def read(self, folder: Path) -> tuple[Any, dict[str, Any], Any]:
        """Give array [slice, row, column], metadata and series."""
        selected = self.select(folder)
        image = self.converter.convert_to_image(selected)
        return image.asnumpy(), image.metadata(), selected[0].selected_series[0].series


@pytest.fixture(scope="module")
def sdk() -> Iterator[SdkReader]:
    """The SDK's reader; its imports and operators warn, which is not what these tests are about."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        yield SdkReader()
        logging.disable(disabled)


class TestWhatTheSdkGetsWrong:
    """The nine defects of the SDK's loader, selector and volume operator: theirs fails, ours reads or refuses."""

    def test_1_pixels_that_are_not_square(self, sdk: SdkReader, tmp_path: Path) -> None:
        CTSeries(spacing_mm=(5.0, 4.0, 8.0)).write(tmp_path)  # between rows 4, between columns 8
        _, metadata, _ = sdk.read(tmp_path)
        assert (metadata["affine"][0, 0], metadata["affine"][1, 1]) == (4.0, 8.0), "x and y exchanged"
        volume = read_volume(tmp_path)
        np.testing.assert_allclose(np.diag(volume.geometry.affine[:3, [2, 1, 0]]), [8.0, 4.0, 5.0])
        np.testing.assert_allclose(bead_center_lps(volume), BEAD_LPS, atol=0.6)

    def test_2_value_range_of_the_first_slice_for_all(self, sdk: SdkReader, tmp_path: Path) -> None:
        series = CTSeries()

        def change(header: pydicom.Dataset, index: int) -> None:
            set_pixels(header, np.full((44, 44), 30.0) if index == 0 else expected_hu(series, index))

        series.write(tmp_path, change)
        theirs, _, _ = sdk.read(tmp_path)
        assert theirs.dtype == np.uint16
        assert theirs.max() > 60000, "air wrapped round"
        ours = read_volume(tmp_path).array
        assert (ours[0] == 30).all()
        np.testing.assert_allclose(ours[10], expected_hu(series, 10), atol=0.51)

    def test_3_slopes_of_the_slices(self, sdk: SdkReader, tmp_path: Path) -> None:
        series = CTSeries()

        def change(header: pydicom.Dataset, index: int) -> None:
            set_pixels(header, np.full((44, 44), -1000.0) if index == 0 else expected_hu(series, index))
            if index:
                header.RescaleSlope = 0.5
                header.PixelData = np.rint(expected_hu(series, index) * 2 + 1).astype(np.int16).tobytes()

        series.write(tmp_path, change)
        truth = expected_hu(series, 10) + 0.5
        theirs, _, _ = sdk.read(tmp_path)
        soft_tissue = expected_hu(series, 10) == 40
        assert (theirs[10][soft_tissue] == 40).all(), "40.5 cut off to the first slice's whole numbers"
        air = truth < -900
        assert (theirs[10][air] == -999).all()
        ours = read_volume(tmp_path).array[10]
        np.testing.assert_array_equal(ours, np.rint(np.rint(expected_hu(series, 10) * 2 + 1) * 0.5))

    def test_4_missing_slices(self, sdk: SdkReader, tmp_path: Path) -> None:
        series = CTSeries()
        series.write(tmp_path, indices=[index for index in range(28) if index not in (9, 10, 17)])
        _, metadata, loaded = sdk.read(tmp_path)
        assert loaded.depth_pixel_spacing == pytest.approx(5.0)
        assert metadata["affine"][2, 2] == pytest.approx(27 * 5 / 24), "read with a stretched affine"
        with pytest.raises(InputRefusal, match=r"3 slice\(s\) are missing") as refusal:
            read_volume(tmp_path)
        assert refusal.value.code == "missing-slices"

    def test_5_gantry_tilt(self, sdk: SdkReader, tmp_path: Path) -> None:
        angle = np.deg2rad(20)
        tilted = CTSeries(columns=(0, float(np.cos(angle)), float(np.sin(angle))), advance=(0, 0, 1))
        tilted.write(tmp_path)
        _, metadata, _ = sdk.read(tmp_path)
        columns, slices = metadata["affine"][:3, 1], metadata["affine"][:3, 2]
        assert abs(columns @ slices) > 1, "read, sheared, without a word"
        with pytest.raises(InputRefusal, match=r"sheared by 20\.0 degrees") as refusal:
            read_volume(tmp_path)
        assert refusal.value.code == "gantry-tilt"

    def test_6_two_images_of_one_position(self, sdk: SdkReader, tmp_path: Path) -> None:
        series = CTSeries()
        series.write(tmp_path)
        other = series.dataset(16)  # through the bead, so that a mirror image is another image
        other.SOPInstanceUID += ".1"
        set_pixels(other, np.flip(expected_hu(series, 16), axis=0))
        save(other, tmp_path / "other")
        theirs, _, _ = sdk.read(tmp_path)
        assert len(theirs) == series.num_slices, "one of the two dropped, whichever the file system lists last"
        with pytest.raises(InputRefusal) as refusal:
            read_volume(tmp_path)
        assert refusal.value.code == "duplicate-slices"

    def test_6_positions_a_thousandth_of_a_millimetre_apart(self, sdk: SdkReader, tmp_path: Path) -> None:
        series = CTSeries()

        def change(header: pydicom.Dataset, index: int) -> None:
            header.ImagePositionPatient[2] = index * 0.001

        series.write(tmp_path, change)
        _, _, loaded = sdk.read(tmp_path)
        assert loaded.depth_pixel_spacing == pytest.approx(0.001)
        with pytest.raises(InputRefusal) as refusal:
            read_volume(tmp_path)
        assert refusal.value.code == "duplicate-slices"

    def test_7_a_single_slice(self, sdk: SdkReader, tmp_path: Path) -> None:
        CTSeries().write(tmp_path, indices=[10])
        theirs, metadata, _ = sdk.read(tmp_path)
        assert theirs.shape == (1, 44, 44)
        assert metadata["affine"] is None, "an image without a place"
        with pytest.raises(InputRefusal) as refusal:
            read_volume(tmp_path)
        assert refusal.value.code == "too-few-slices"

    def test_8_slices_of_different_size(self, sdk: SdkReader, tmp_path: Path) -> None:
        def change(header: pydicom.Dataset, index: int) -> None:
            if index == 12:
                header.Rows, header.PixelData = 1, header.PixelData[: 44 * 2]

        CTSeries().write(tmp_path, change)
        theirs, _, _ = sdk.read(tmp_path)
        assert (theirs[12] == theirs[12][0]).all(), "one row spread over the whole slice"
        with pytest.raises(InputRefusal, match="differ in Rows or Columns") as refusal:
            read_volume(tmp_path)
        assert refusal.value.code == "inconsistent-slices"

    def test_9_nothing_suitable(self, sdk: SdkReader, tmp_path: Path) -> None:
        CTSeries().write(tmp_path, lambda header, _: setattr(header, "Modality", "MR"))
        selected = sdk.select(tmp_path, {"selections": [{"name": "CT", "conditions": {"Modality": "CT"}}]})
        with pytest.raises(ValueError, match="Missing expected input"):  # as if the graph were miswired
            sdk.converter.convert_to_image(selected)
        with pytest.raises(InputRefusal, match="Not CT images") as refusal:
            select(tmp_path)
        assert refusal.value.code == "not-ct"
