"""Drawing for the pictures: type, smooth lines and labelled image panels in one dark style."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from lung_nodules.writers.palette import Rgb

BACKGROUND: Rgb = (11, 13, 17)
TEXT: Rgb = (232, 235, 240)
QUIET: Rgb = (138, 147, 160)
RULE: Rgb = (38, 43, 52)
NOTICE: Rgb = (255, 196, 84)

_SHADOW: Rgb = (0, 0, 0)
_SMOOTHING = 4  # lines are drawn this many times larger and reduced
_CORNER_PIXELS = 6
_SCALE_STEPS_MM = (5, 10, 20, 50, 100)


@cache
def font(size_pixels: int) -> ImageFont.FreeTypeFont:
    """Pillow's own typeface (Aileron), so that pictures look alike on every machine; it covers ASCII and the dot."""
    loaded = ImageFont.load_default(size_pixels)
    assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return loaded


def write_text(
    image: Image.Image, at: tuple[float, float], text: str, size: int, color: Rgb = TEXT, anchor: str = "ls"
) -> float:
    """Write one line; the anchor is Pillow's (``ls``: left end of the baseline).

    Returns:
        Its width in pixels.
    """
    ImageDraw.Draw(image).text(at, text, font=font(size), fill=color, anchor=anchor)
    return float(font(size).getlength(text))


def draw_lines(
    image: Image.Image, lines: Sequence[npt.NDArray[np.float64]], color: Rgb, width: float, opacity: float = 1.0
) -> None:
    """Draw smooth closed or open lines of ``(x, y)`` pixels over a thin shadow, so that they show on any ground."""
    points = np.concatenate([np.empty((0, 2)), *lines])
    if not len(points):
        return
    left, top = (int(part) for part in np.maximum(points.min(axis=0) - 4, 0))
    right, bottom = (int(part) for part in np.minimum(points.max(axis=0) + 5, image.size))
    if left >= right or top >= bottom:
        return
    paths = [[tuple(point) for point in (line + 0.5 - (left, top)) * _SMOOTHING] for line in lines]
    for paint, thickness, strength in ((_SHADOW, width + 1.6, 0.45), (color, width, 1.0)):
        layer = Image.new("L", ((right - left) * _SMOOTHING, (bottom - top) * _SMOOTHING))
        draw = ImageDraw.Draw(layer)
        for path in paths:
            draw.line(path, fill=round(255 * opacity * strength), width=round(thickness * _SMOOTHING), joint="curve")
        image.paste(paint, (left, top, right, bottom), layer.reduce(_SMOOTHING))


def draw_box(image: Image.Image, corners: tuple[float, float, float, float], color: Rgb) -> None:
    """Draw a rectangle (left, top, right, bottom) as a thin line."""
    left, top, right, bottom = corners
    path = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    draw_lines(image, [path], color, 1.2)


def label_panel(panel: Image.Image, title: str, letters: tuple[str, str, str, str], pixel_mm: float) -> None:
    """Write what a panel shows: its name, the patient's directions at the four edges, and a scale."""
    middle_x, middle_y, inset = panel.width / 2, panel.height / 2, 9
    places = (
        (inset, middle_y, "lm"),
        (panel.width - inset, middle_y, "rm"),
        (middle_x, inset, "mt"),
        (middle_x, panel.height - inset, "mb"),
    )
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        _write_on_image(panel, (x, y), letter, 17, anchor)
    _write_on_image(panel, (14, 12), title, 17, "lt")
    _draw_scale(panel, pixel_mm)


def _draw_scale(panel: Image.Image, pixel_mm: float) -> None:
    """Draw a bar of a round length; at most 0.25 of the panel's width, so that its label ends before the middle."""
    longest_mm = 0.25 * panel.width * pixel_mm
    length_mm = max((step for step in _SCALE_STEPS_MM if step <= longest_mm), default=_SCALE_STEPS_MM[0])
    left, bottom, length = 16.0, panel.height - 18.0, length_mm / pixel_mm
    bar = np.array([(left, bottom - 5), (left, bottom), (left + length, bottom), (left + length, bottom - 5)])
    draw_lines(panel, [bar], TEXT, 1.4)
    _write_on_image(panel, (left + length + 9, bottom + 1), f"{length_mm} mm", 15, "lb")


def _write_on_image(panel: Image.Image, at: tuple[float, float], text: str, size: int, anchor: str) -> None:
    ImageDraw.Draw(panel).text(at, text, font=font(size), fill=TEXT, anchor=anchor, stroke_width=2, stroke_fill=_SHADOW)


def paste_panel(sheet: Image.Image, panel: Image.Image, at: tuple[int, int]) -> None:
    """Put a panel on the sheet, with round corners."""
    large = Image.new("L", (panel.width * _SMOOTHING, panel.height * _SMOOTHING))
    box = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius=_CORNER_PIXELS * _SMOOTHING, fill=255)
    sheet.paste(panel, at, mask=large.reduce(_SMOOTHING))
