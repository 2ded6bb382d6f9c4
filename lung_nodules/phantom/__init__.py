"""A synthetic chest CT with nodules of known place, size and shape, written as a real DICOM study."""

from lung_nodules.phantom.chest import Chest, build_chest
from lung_nodules.phantom.nodules import NoduleTruth
from lung_nodules.phantom.settings import (
    NoduleKind,
    NoduleSpec,
    PhantomSettings,
    default_phantom_settings,
    phantom_settings,
)
from lung_nodules.phantom.study import Phantom, PhantomTruth, write_phantom

__all__ = [
    "Chest",
    "NoduleKind",
    "NoduleSpec",
    "NoduleTruth",
    "Phantom",
    "PhantomSettings",
    "PhantomTruth",
    "build_chest",
    "default_phantom_settings",
    "phantom_settings",
    "write_phantom",
]
