"""Where a grid of voxels lies in the patient: the one object that carries a place through the line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Geometry:
    """Where a grid of voxels lies in the patient.

    The index order is ``[slice, row, column]``, slices ordered along the normal (row cosines x column cosines);
    the world is DICOM patient coordinates (LPS) in mm. A voxel's index and position are those of its centre
    (PS3.3 C.7.6.2.1.1).
    """

    origin_lps: tuple[float, float, float]  # centre of voxel [0, 0, 0], mm
    spacing_mm: tuple[float, float, float]  # between slices, rows, columns
    direction: tuple[tuple[float, float, float], ...]  # row k: unit vector (LPS) along array axis k
    shape: tuple[int, int, int]  # slices, rows, columns
    frame_of_reference_uid: str = ""
    sop_instance_uids: tuple[str, ...] = ()  # one a slice; empty where there are none

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """The 4x4 matrix from index ``[slice, row, column, 1]`` to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = (np.asarray(self.direction) * np.asarray(self.spacing_mm)[:, None]).T
        matrix[:3, 3] = self.origin_lps
        return matrix

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm3."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def to_world(self, ijk: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map indices ``[..., 3]`` (slice, row, column; fractions allowed) to LPS mm ``[..., 3]``."""
        affine = self.affine
        return np.asarray(ijk, dtype=float) @ affine[:3, :3].T + affine[:3, 3]

    def to_index(self, lps_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map LPS mm ``[..., 3]`` to fractional indices ``[..., 3]`` (slice, row, column)."""
        affine = self.affine
        return (np.asarray(lps_mm, dtype=float) - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
