"""What one series holds: its stacks of slices, and what of each counts when one is chosen.

A Series Instance UID promises less than it seems: a localizer may lie beside the slices, or several acquisitions
of the same region, or two orientations. Each is a part of its own here.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pydicom

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import SeriesSettings, VolumeSettings
from lung_nodules.stages.instances import Instance
from lung_nodules.stages.multiframe import ENHANCED_CT_STORAGE, LEGACY_CONVERTED_ENHANCED_CT_STORAGE
from lung_nodules.stages.pixels import value_or_none
from lung_nodules.stages.stack import Plane, drop_identical_files, read_plane

CT_STORAGE_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.2", ENHANCED_CT_STORAGE, LEGACY_CONVERTED_ENHANCED_CT_STORAGE})
# attributes that tell acquisitions of the same positions apart, the plainest first
_ACQUISITION_KEYWORDS = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "AcquisitionTime",
    "ConvolutionKernel",
    "ImageType",
)
# attributes that tell stacks apart which lie elsewhere or otherwise
_STACK_KEYWORDS = ("AcquisitionNumber", "FrameOfReferenceUID", "PixelSpacing", "SliceThickness", "ConvolutionKernel")
_SOFT, _SHARP, _VERY_SOFT = 0, 1, 2
_SHARP_NAMES = re.compile(r"LUNG|BONE|EDGE|SHARP|HRES|ULTRA|^(L|D|E|F|YC|YD|YE)$")
_SHARP_FROM = 50  # Siemens: B50f, I50f, Br54, Bl57, B70f ... are made for lung and bone
_VERY_SOFT_UP_TO = 25  # Siemens: B10f to B25f
_SHARP_CANON_FROM = 30  # Canon: FC30 ... bone, FC50 ... lung; FC01 to FC18 body


@dataclass(frozen=True)
class Part:
    """Instances of one series that may form one volume, and the header values that a choice rests on."""

    instances: tuple[Instance, ...]
    is_localizer: bool = False
    has_siblings: bool = False  # other acquisitions of the same region lie in the same series

    @property
    def header(self) -> pydicom.Dataset:
        """Header of the first instance."""
        return self.instances[0].header

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID; empty where there is none."""
        return text(self.header, "SeriesInstanceUID")

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID; empty where there is none."""
        return text(self.header, "StudyInstanceUID")

    @property
    def study_moment(self) -> str:
        """Study date and time, sortable; empty where there is none."""
        return text(self.header, "StudyDate") + text(self.header, "StudyTime")

    @property
    def is_ct(self) -> bool:
        """Whether these are CT images, by modality and SOP class."""
        return text(self.header, "Modality") == "CT" and text(self.header, "SOPClassUID") in CT_STORAGE_CLASSES

    @property
    def is_derived(self) -> bool:
        """Whether the images were made from other images (PS3.3 C.7.6.1.1.2)."""
        image_type = values(self.header, "ImageType")
        return "DERIVED" in image_type[:1] or "SECONDARY" in image_type[1:2]

    @cached_property
    def kernel_class(self) -> int:
        """Kernel: 0 soft, medium or unknown, 1 sharp, 2 very soft."""
        return classify_kernel(next(iter(values(self.header, "ConvolutionKernel")), ""))

    @cached_property
    def slice_thickness_mm(self) -> float:
        """Slice Thickness; 0 where there is none."""
        try:
            return float(value_or_none(self.header, "SliceThickness") or 0)
        except (TypeError, ValueError):
            return 0.0

    @property
    def key(self) -> tuple[str, ...]:
        """A fixed order among parts that nothing else tells apart."""
        first = min(text(instance.header, "SOPInstanceUID") for instance in self.instances)
        return text(self.header, "AcquisitionNumber").zfill(12), self.series_instance_uid, first


def text(header: pydicom.Dataset, keyword: str) -> str:
    """Read an element as text without blanks around; empty where there is none."""
    value = value_or_none(header, keyword)
    return "" if value is None else str(value).strip()


def values(header: pydicom.Dataset, keyword: str) -> tuple[str, ...]:
    """Read an element of one or more values as upper-case texts."""
    value = value_or_none(header, keyword)
    if value is None or value == "":
        return ()
    several = value if isinstance(value, list | pydicom.multival.MultiValue) else [value]
    return tuple(str(each).strip().upper() for each in several)


def classify_kernel(name: str) -> int:
    """Class of a reconstruction kernel by its vendor's name: 0 soft, medium or unknown, 1 sharp, 2 very soft.

    Siemens numbers sharpness (B30f, Br40, Bl57), Canon groups by use (FC08 body, FC51 lung), GE and Philips use
    words and letters.
    """
    name = name.strip().upper()
    canon = re.fullmatch(r"FC(\d+)\w*", name)
    if canon:
        return _SHARP if int(canon[1]) >= _SHARP_CANON_FROM else _SOFT
    siemens = re.match(r"[A-Z]{1,2}(\d\d)", name)
    if siemens:
        number = int(siemens[1])
        return _SHARP if number >= _SHARP_FROM else _VERY_SOFT if number <= _VERY_SOFT_UP_TO else _SOFT
    return _SHARP if _SHARP_NAMES.search(name) else _SOFT


def split_into_parts(instances: Sequence[Instance], settings: SeriesSettings, tolerances: VolumeSettings) -> list[Part]:
    """Split the instances of one series into its stacks.

    Args:
        instances: Images with one Series Instance UID.
        settings: Angle from which orientations are different stacks.
        tolerances: Distance up to which positions are the same.

    Returns:
        The parts: localizers, one part an orientation, one an acquisition of the same positions.
    """
    by_kind: dict[tuple[bool, ...], list[Instance]] = defaultdict(list)
    for instance in drop_identical_files(instances):
        image_type = values(instance.header, "ImageType")
        is_ct = text(instance.header, "SOPClassUID") in CT_STORAGE_CLASSES
        by_kind["LOCALIZER" in image_type, is_ct].append(instance)
    parts: list[Part] = []
    for (is_localizer, is_ct), same_kind in by_kind.items():
        if is_localizer or not is_ct:
            parts.append(Part(tuple(same_kind), is_localizer))
            continue
        for same_orientation in _split_by_orientation(same_kind, settings.max_obliquity_deg):
            stacks = _split_by_acquisition(same_orientation, tolerances)
            parts.extend(Part(tuple(stack), has_siblings=len(stacks) > 1) for stack in stacks)
    return parts


def split_further(part: Part, min_num_slices: int) -> list[Part]:
    """Split a part that is not one regular stack by the first attribute that leaves only groups of enough slices.

    Returns:
        Two or more parts, or none where no attribute does.
    """
    for keyword in _STACK_KEYWORDS:
        groups = _group_by(part.instances, keyword)
        if len(groups) > 1 and min(map(len, groups)) >= min_num_slices:
            return [Part(tuple(group), has_siblings=True) for group in groups]
    return []


def _split_by_orientation(instances: list[Instance], max_angle_deg: float) -> list[list[Instance]]:
    """Group slices whose normals differ by less than an angle; slices without orientation stay with the largest."""
    groups: list[tuple[Plane, list[Instance]]] = []
    unplaced: list[Instance] = []
    for instance in instances:
        plane = _plane_or_none(instance)
        if plane is None:
            unplaced.append(instance)
            continue
        for first, members in groups:
            if first.normal @ plane.normal > np.cos(np.deg2rad(max_angle_deg)):
                members.append(instance)
                break
        else:
            groups.append((plane, [instance]))
    split = [members for _, members in groups] or [[]]
    max(split, key=len).extend(unplaced)
    return split


def _split_by_acquisition(instances: list[Instance], tolerances: VolumeSettings) -> list[list[Instance]]:
    """Split slices that repeat positions by the first attribute that leaves no repetition; else keep them together."""
    depth = _most_images_at_one_position(instances, tolerances)
    if depth < 2:
        return [instances]
    for keyword in _ACQUISITION_KEYWORDS:
        groups = _group_by(instances, keyword)
        if len(groups) == depth and all(_most_images_at_one_position(group, tolerances) == 1 for group in groups):
            return groups
    return [instances]


def _group_by(instances: Sequence[Instance], keyword: str) -> list[list[Instance]]:
    groups: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        groups[text(instance.header, keyword)].append(instance)
    return [groups[name] for name in sorted(groups)]


def _most_images_at_one_position(instances: list[Instance], tolerances: VolumeSettings) -> int:
    positions: Counter[tuple[int, ...]] = Counter()
    for instance in instances:
        plane = _plane_or_none(instance)
        if plane is not None:
            positions[tuple(np.rint(plane.position / tolerances.same_position_mm).astype(int).tolist())] += 1
    return max(positions.values(), default=0)


def _plane_or_none(instance: Instance) -> Plane | None:
    try:
        return read_plane(instance)
    except InputRefusal:
        return None
