"""What can be chosen about a phantom, every number with its unit and bounds."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lung_nodules.errors import UsageRefusal

KernelName = Literal["soft", "standard", "lung"]


class NoduleKind(StrEnum):
    """Density, margin and neighbourhood of a nodule."""

    SOLID = "solid"
    PART_SOLID = "part-solid"  # ground-glass with a solid core
    GROUND_GLASS = "ground-glass"
    SPICULATED = "spiculated"  # solid, with thin spikes that are not counted as part of it
    JUXTAPLEURAL = "juxtapleural"  # solid, on the costal pleura
    JUXTAVASCULAR = "juxtavascular"  # solid, on a vessel


class NoduleSpec(BaseModel):
    """One nodule to put in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: NoduleKind = NoduleKind.SOLID
    diameter_mm: float = Field(
        10.0, ge=3, le=60, description="Longest axial diameter of the whole shape, before the pleura cuts it."
    )
    center_lps: tuple[float, float, float] | None = Field(
        None, description="Centre of the shape in LPS mm; None: a free place. Nodules placed by hand may overlap."
    )


class PhantomSettings(BaseModel):
    """Settings of one phantom; the same settings give the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(1, ge=0, le=2**31 - 1, description="Everything random follows from it.")
    num_nodules: int = Field(7, ge=0, le=30, description="Nodules to put in where `nodules` names none.")
    min_diameter_mm: float = Field(5.0, ge=3, le=60, description="Smallest longest axial diameter.")
    max_diameter_mm: float = Field(25.0, ge=3, le=60, description="Largest longest axial diameter.")
    kinds: tuple[NoduleKind, ...] = Field(tuple(NoduleKind), min_length=1, description="Kinds, taken in turn.")
    nodules: tuple[NoduleSpec, ...] | None = Field(None, description="The nodules one by one; empty: none at all.")
    num_slices: int = Field(240, ge=8, le=400, description="Slices of the thin series.")
    slice_spacing_mm: float = Field(1.25, ge=0.4, le=10, description="From slice to slice, and their thickness.")
    rows: int = Field(512, ge=64, le=1024)
    columns: int = Field(512, ge=64, le=1024)
    pixel_spacing_mm: float = Field(0.7, ge=0.3, le=6, description="Between rows and between columns.")
    noise_hu: float = Field(
        18.0, ge=0, le=200, description="Standard deviation of the noise in the middle of the chest."
    )
    kernel: KernelName = Field("standard", description="Reconstruction kernel of the thin series.")
    patient_name: str = Field("PHANTOM^CHEST", max_length=64, description="DICOM person name, in any script.")

    @model_validator(mode="after")
    def _ordered_diameters(self) -> Self:
        if self.min_diameter_mm > self.max_diameter_mm:
            raise ValueError("min_diameter_mm is larger than max_diameter_mm")
        return self


def phantom_settings(**values: Any) -> PhantomSettings:
    """Build `PhantomSettings` from a user's values.

    Raises:
        UsageRefusal: ``bad-phantom-settings`` when a value is unknown or out of bounds.
    """
    try:
        return PhantomSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise UsageRefusal("bad-phantom-settings", f"Phantom {where}: {first['msg']}.") from error


def default_phantom_settings() -> PhantomSettings:
    """The phantom of the demonstration: seven nodules of all kinds, 5 to 25 mm, in 240 slices of 1.25 mm."""
    nodules = (
        NoduleSpec(kind=NoduleKind.SOLID, diameter_mm=5.5),
        NoduleSpec(kind=NoduleKind.SOLID, diameter_mm=12),
        NoduleSpec(kind=NoduleKind.PART_SOLID, diameter_mm=18),
        NoduleSpec(kind=NoduleKind.GROUND_GLASS, diameter_mm=15),
        NoduleSpec(kind=NoduleKind.SPICULATED, diameter_mm=25),
        NoduleSpec(kind=NoduleKind.JUXTAPLEURAL, diameter_mm=10),
        NoduleSpec(kind=NoduleKind.JUXTAVASCULAR, diameter_mm=8),
    )
    return PhantomSettings(nodules=nodules)
