"""What a picture of an outline shows."""

from __future__ import annotations

import numpy as np

from lung_nodules.evaluation.key_slices import cut_key_slice

SPACING_MM = (2.0, 1.0, 0.5)


def test_the_largest_slice_is_cut_around_the_centroid_and_ends_where_the_ct_does() -> None:
    image = np.arange(3 * 40 * 80, dtype=np.int16).reshape(3, 40, 80)
    consensus, outline = np.zeros(image.shape, dtype=bool), np.zeros(image.shape, dtype=bool)
    consensus[0, 4, 40] = consensus[1, 3:6, 39:42] = True
    outline[1, 4, 38:42] = True
    shown = cut_key_slice(image, consensus, [consensus, outline], outline, SPACING_MM, 5.0)
    assert np.array_equal(shown.image, image[1, :17, 16:65])  # 12 mm to each side, but four rows above there is none
    assert np.array_equal(shown.readers, [consensus[1, :17, 16:65], outline[1, :17, 16:65]])
    assert np.array_equal(shown.outline, outline[1, :17, 16:65])
    assert shown.center == (4.0, 24.0)
    assert shown.reach == (12.0, 24.0)
    assert not np.shares_memory(shown.image, image)


def test_a_large_nodule_is_shown_whole() -> None:
    image = np.zeros((1, 90, 90), dtype=np.int16)
    consensus = np.zeros(image.shape, dtype=bool)
    consensus[0, 25:65, 25:65] = True
    shown = cut_key_slice(image, consensus, [consensus], consensus, (1.0, 1.0, 1.0), 40.0)
    assert shown.reach == (48.0, 48.0)
    assert shown.outline.sum() == 1600
