import gzip
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lung_nodules.service.preview import labels_path, slice_path, write_preview
from lung_nodules.stages.geometry import Geometry
from lung_nodules.stages.volume import Volume


def test_slices_and_labels_come_back_as_they_were(tmp_path_factory):
    @given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 7), st.integers(0, 2**32 - 1))
    def check(num_slices, rows, columns, seed):
        folder = tmp_path_factory.mktemp("preview")
        random = np.random.default_rng(seed)
        shape = (num_slices, rows, columns)
        array = random.integers(-1024, 3072, shape).astype(np.int16)
        label_map = random.integers(0, 4, shape).astype(np.uint16)
        geometry = Geometry((1.0, 2.0, 3.0), (2.5, 0.7, 0.6), ((0, 0, 1), (0, 1, 0), (1, 0, 0)), shape)
        write_preview(Volume(array, geometry), label_map, [1, 3], folder)
        kept = np.where(label_map == 2, 0, label_map)
        meta = json.loads((folder / "meta.json").read_text())
        assert (meta["num_slices"], meta["rows"], meta["columns"]) == shape
        assert meta["spacing_mm"] == [2.5, 0.7, 0.6]
        assert (meta["low_hu"], meta["high_hu"]) == (array.min(), array.max())
        assert meta["labels"] == [k for k in range(num_slices) if kept[k].any()]
        for k in range(num_slices):
            plane = np.frombuffer(gzip.decompress(slice_path(folder, k).read_bytes()), "<i2").reshape(rows, columns)
            assert np.array_equal(plane, array[k])
            assert labels_path(folder, k).exists() == (k in meta["labels"])
        for k in meta["labels"]:
            plane = np.frombuffer(gzip.decompress(labels_path(folder, k).read_bytes()), "<u2").reshape(rows, columns)
            assert np.array_equal(plane, kept[k])

    check()
