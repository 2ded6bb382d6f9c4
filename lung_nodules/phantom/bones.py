"""Ribs, sternum, shoulder blades and spine, drawn on one axial slice at a time."""

from __future__ import annotations

import numpy as np

from lung_nodules.phantom.anatomy import spine_center_y
from lung_nodules.phantom.canvas import Canvas
from lung_nodules.phantom.grid import Float32

_CORTICAL_HU, _MARROW_HU, _CARTILAGE_HU, _DISC_HU = 620.0, 210.0, 105.0, 85.0
_RIB_PITCH_MM = 25.0
_VERTEBRA_PITCH_MM = 23.0


def paint_wall_bones(canvas: Canvas, cage: Float32) -> None:
    """Paint ribs, sternum and shoulder blades; `cage` is the distance in mm from the inside of the wall."""
    from_back = np.arctan2(np.abs(canvas.x), canvas.y - 2)  # radians: 0 at the back, pi in front
    _paint_ribs(canvas, cage, from_back)
    _paint_sternum(canvas, cage)
    _paint_shoulder_blades(canvas, cage, from_back)


def _paint_bone(canvas: Canvas, distance: Float32, bone: Float32 | float = 1.0) -> None:
    """A cortex of 1.5 mm around marrow; where `bone` is 0 it is cartilage instead."""
    canvas.fill(distance, _CARTILAGE_HU + bone * (_CORTICAL_HU - _CARTILAGE_HU))
    canvas.fill(distance + 1.5, _CARTILAGE_HU + bone * (_MARROW_HU - _CARTILAGE_HU))


def _paint_ribs(canvas: Canvas, cage: Float32, from_back: Float32) -> None:
    """Rings on the cage that fall from the spine to the front, where cartilage takes over."""
    rows = np.flatnonzero((cage < 12).any(axis=1))
    if not rows.size:
        return
    band = slice(rows[0], rows[-1] + 1)
    canvas, cage, from_back = canvas.crop((band, slice(0, canvas.hu.shape[1]))), cage[band], from_back[band]
    drop_mm = 34 * (1 - np.cos(from_back)) + 3 * np.sign(canvas.x)
    phase = (canvas.z + drop_mm) / _RIB_PITCH_MM
    off_mm = (phase - np.floor(phase) - 0.5) * (_RIB_PITCH_MM * 0.85)
    distance = (np.hypot((cage - 6.2) / 3.6, off_mm / 6.2) - 1) * 3.8
    distance[(from_back < 0.28) | (canvas.z + 0.55 * drop_mm > 118)] = 9
    _paint_bone(canvas, distance, np.clip((2.45 - from_back) * 6, 0, 1))


def _paint_sternum(canvas: Canvas, cage: Float32) -> None:
    if not -35 < canvas.z < 92:
        return
    half_width = np.interp(canvas.z, (-35, -15, 40, 55, 92), (7, 16, 13, 20, 26)).astype(np.float32)
    front = canvas.near((0, -80), (32, 60))
    depth = cage[front.window[0].start - canvas.window[0].start :, front.window[1].start - canvas.window[1].start :]
    depth = depth[: front.hu.shape[0], : front.hu.shape[1]]
    across = (np.abs(front.x) / half_width) ** 4 + (np.abs(depth - 6.5) / 5) ** 4
    _paint_bone(front, (across**0.25 - 1) * 5)


def _paint_shoulder_blades(canvas: Canvas, cage: Float32, from_back: Float32) -> None:
    """A thin curved plate on either side of the back, and the humeral heads above."""
    if canvas.z < 5:
        return
    width = np.interp(canvas.z, (5, 40, 90, 130), (0.03, 0.28, 0.42, 0.5)).astype(np.float32)
    outward = (np.abs(from_back - 1.02) - width) * 110
    plate = np.maximum(np.abs(cage - 24 - 5 * np.cos(7 * from_back)) - 2.4, outward)
    _paint_bone(canvas, plate)
    if canvas.z > 70:
        beside = np.hypot(np.abs(canvas.x) - 158, (canvas.y - 22) * 0.95)
        _paint_bone(canvas, np.hypot(beside, (canvas.z - 122) * 0.8) - 24)


def paint_spine(canvas: Canvas) -> None:
    """Paint the vertebra or disc at this height, and the canal behind it."""
    center_y = float(spine_center_y(canvas.z))
    canvas = canvas.near((0, center_y + 22), (58, 62))
    x, y = canvas.x, canvas.y - np.float32(center_y)
    level = (canvas.z / _VERTEBRA_PITCH_MM) % 1.0  # 0 in the middle of a disc
    for part in _posterior_elements(x, y, level):
        _paint_bone(canvas, part)
    body = np.hypot(x / 1.18, y) - (15.5 - 1.5 * np.sin(np.pi * level))
    body = np.maximum(body, 8 - np.hypot(x, y - 19)).astype(np.float32)  # hollow towards the canal
    from_disc_mm = min(level, 1 - level) * _VERTEBRA_PITCH_MM
    bone = float(np.clip((from_disc_mm - 2.2) / canvas.spacing_mm[0] + 0.5, 0, 1))
    spongy = float(np.clip((from_disc_mm - 3.7) / canvas.spacing_mm[0] + 0.5, 0, 1))
    canvas.fill(body, _DISC_HU)
    canvas.lay(canvas.share(body) * np.float32(bone), _CORTICAL_HU * 0.8)
    canvas.lay(canvas.share(body + 1.4) * np.float32(bone * (0.4 + 0.6 * spongy)), _MARROW_HU * 0.85)
    canvas.fill(np.hypot(x, y - 22.5) - 8.5, -10.0)  # fat around the cord
    canvas.fill(np.hypot(x, y - 22) - 5, 35.0)


def _posterior_elements(x: Float32, y: Float32, level: float) -> list[Float32]:
    """Distances from arch, spinous process and transverse processes of a vertebra; `y` from its body's centre."""
    arch = np.maximum(np.abs(np.hypot(x, y - 22) - 12) - 2.6, 14 - y)
    reach = np.float32(6 + 5 * np.sin(np.pi * level))
    spinous = np.maximum(np.abs(x) - 2.8, np.abs(y - 39) - reach)
    parts = [arch, spinous]
    if 0.25 < level < 0.85:
        parts.append(np.maximum(np.abs(y - 22 - 0.3 * (np.abs(x) - 14)) - 4.2, np.abs(np.abs(x) - 22) - 10))
    return [part.astype(np.float32) for part in parts]
