"""Settings of the phantoms that the tests share."""

from __future__ import annotations

from lung_nodules.phantom import NoduleKind, NoduleSpec, PhantomSettings

SMALL = PhantomSettings(seed=3, num_slices=48, slice_spacing_mm=5, rows=128, columns=128, pixel_spacing_mm=2.8)
FINE = PhantomSettings(
    seed=5,
    num_slices=40,
    nodules=(
        NoduleSpec(kind=NoduleKind.SOLID, diameter_mm=20, center_lps=(-85.3, 20.2, 1.1)),
        NoduleSpec(kind=NoduleKind.SOLID, diameter_mm=8, center_lps=(95.1, -20.4, -3.2)),
        NoduleSpec(kind=NoduleKind.GROUND_GLASS, diameter_mm=18, center_lps=(92.0, 42.0, 2.0)),
        NoduleSpec(kind=NoduleKind.PART_SOLID, diameter_mm=18, center_lps=(-80.0, -40.0, 2.0)),
    ),
)
