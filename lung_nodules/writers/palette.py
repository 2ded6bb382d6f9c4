"""One colour a finding, the same in every file of a result.

The first eight are chosen for contrast against lung and soft tissue in grey, the rest turn around the hue circle of
CIELCh by the golden angle, which keeps any number of neighbours apart.
"""

from __future__ import annotations

import math

import numpy as np
from skimage.color import lab2rgb

Rgb = tuple[int, int, int]

_CHOSEN: tuple[Rgb, ...] = (
    (255, 176, 46),  # amber
    (64, 196, 255),  # sky
    (255, 110, 140),  # rose
    (120, 220, 130),  # green
    (190, 150, 255),  # violet
    (70, 224, 208),  # turquoise
    (255, 140, 80),  # orange
    (225, 225, 90),  # lemon
)
_GOLDEN_ANGLE_DEGREES = 180 * (3 - math.sqrt(5))
_LIGHTNESS_STEPS = (76.0, 64.0, 88.0)
_CHROMA = 52.0


def finding_color(number: int) -> Rgb:
    """The sRGB colour (0-255 each) of the finding of this number, from 1."""
    if number <= len(_CHOSEN):
        return _CHOSEN[number - 1]
    turn = number - len(_CHOSEN)
    hue = math.radians(turn * _GOLDEN_ANGLE_DEGREES)
    lightness = _LIGHTNESS_STEPS[turn % len(_LIGHTNESS_STEPS)]
    lab = np.array([[lightness, _CHROMA * math.cos(hue), _CHROMA * math.sin(hue)]])
    red, green, blue = (round(255 * float(part)) for part in lab2rgb(lab)[0])
    return red, green, blue
