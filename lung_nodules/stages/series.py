"""From all instances to the one series that is read.

Chosen by what the images are (modality, SOP class, image type), where they lie (orientation, coverage, distance) and
what they show (lungs), never by a description. Each series that is not chosen gets a coded reason and a sentence.
The order of preference follows what readers of lung nodules use: original before derived, the whole chest
before a piece of it, thin slices (1 to 1.5 mm), a soft or medium kernel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import SeriesSettings, Settings
from lung_nodules.stages.dicom_file import quiet_pydicom
from lung_nodules.stages.instances import UNREADABLE_CODES, Instance, Instances, PassedOver
from lung_nodules.stages.lung_air import estimate_lung_air
from lung_nodules.stages.series_parts import Part, split_further, split_into_parts, text
from lung_nodules.stages.stack import Stack, arrange_slices
from lung_nodules.stages.survey import ConsideredSeries


@dataclass(frozen=True)
class Selection:
    """The series to read, and what became of every other one."""

    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[Instance, ...]  # of the chosen series, in no particular order
    considered: tuple[ConsideredSeries, ...]  # the chosen one first, then by rank
    passed_over: tuple[PassedOver, ...] = ()  # files of the input that hold no image, or none that could be read


class NoUsableSeries(InputRefusal):
    """The input holds no series that can be read; `considered` says why not, series by series."""

    def __init__(
        self, code: str, sentence: str, advice: str = "", considered: tuple[ConsideredSeries, ...] = ()
    ) -> None:
        super().__init__(code, sentence, advice)
        self.considered = considered


class PixelsNeeded(Exception):  # noqa: N818  # an answer, not an error: what to fetch next
    """The series that comes first by its headers; whether it shows lungs cannot be told before its files are there."""

    def __init__(self, series_instance_uid: str) -> None:
        super().__init__("the pixels of a series are needed")
        self.series_instance_uid = series_instance_uid


@dataclass(frozen=True)
class _Rejected:
    """A part that cannot be used."""

    part: Part
    reason: InputRefusal


@dataclass(frozen=True)
class _Usable:
    """A part whose slices form a volume."""

    part: Part
    stack: Stack

    @property
    def coverage_mm(self) -> float:
        """Extent along the normal, half a slice at each end included."""
        return self.stack.geometry.shape[0] * self.stack.geometry.spacing_mm[0]

    @property
    def thickness_mm(self) -> float:
        """What one slice stands for: its thickness, or the distance where that is larger."""
        return max(self.stack.geometry.spacing_mm[0], self.part.slice_thickness_mm)


# reasons against a series in the order in which they are met; the one met last is the most telling
_REASONS_BY_DEPTH = ("not-ct", "localizer", "not-axial", "too-few-slices")
# reasons that several stacks in one series give
_REASONS_TO_SPLIT = ("missing-slices", "non-uniform-spacing", "duplicate-slices", "inconsistent-slices")
# reasons against files, the most telling first, for an input without any image
_FILE_REASONS = (*UNREADABLE_CODES, "no-images", "not-dicom")


def select_series(instances: Instances, settings: Settings) -> Selection:
    """Choose the axial chest CT to read.

    The result does not depend on the order of the instances nor on file names.

    Args:
        instances: Everything found.
        settings: The run's settings; `SeriesSettings` holds the limits.

    Returns:
        The chosen series, and for each other one why not.

    Raises:
        PixelsNeeded: Only where instances without a file are among `instances`: fetch that series, and ask again.
        NoUsableSeries: ``multiple-patients``, or the most telling reason why no series can be read:
            ``not-dicom``, ``no-images``, ``not-ct``, ``localizer``, ``not-axial``, ``too-few-slices``, ``no-lungs``,
            ``not-hu``, a code of `arrange_slices` or `read_hu`, or that of a file that could not be read.
    """
    with quiet_pydicom():
        parts = _split_all(instances.found, settings)
        if not parts:
            raise _nothing_found(instances.passed_over)
        _refuse_several_patients(parts)
        usable, rejected = _prove(parts, settings)
        ranked = _rank(usable, settings.series)
        chosen: _Usable | None = None
        for candidate in ranked:
            problem = _reason_against_lungs(candidate, settings)
            if problem is None:
                chosen = candidate
                break
            rejected.append(_Rejected(candidate.part, problem))
        others = _describe_rejected(rejected)
        if chosen is None:
            raise _none_usable(rejected, others, instances.passed_over)
        without_lungs = {id(each.part) for each in rejected}
        passed = [each for each in ranked if each is not chosen and id(each.part) not in without_lungs]
        considered: tuple[ConsideredSeries, ...] = (
            _describe(chosen.part, "chosen", _why_chosen(chosen)),
            *(_describe(each.part, *_why_not(each, chosen, settings.series)) for each in passed),
            *others,
        )
        if instances.survey is not None:
            considered = instances.survey.complete(chosen.part.study_instance_uid, considered)
        return Selection(
            chosen.part.study_instance_uid,
            chosen.part.series_instance_uid,
            chosen.part.instances,
            considered,
            instances.passed_over,
        )


def _split_all(found: Sequence[Instance], settings: Settings) -> list[Part]:
    """Group by series, split each into its parts, in a fixed order."""
    by_series: dict[tuple[str, ...], list[Instance]] = defaultdict(list)
    for instance in found:
        keywords = ("StudyInstanceUID", "SeriesInstanceUID", "Modality")
        by_series[tuple(text(instance.header, keyword) for keyword in keywords)].append(instance)
    parts = [
        part for key in sorted(by_series) for part in split_into_parts(by_series[key], settings.series, settings.volume)
    ]
    return sorted(parts, key=lambda part: part.key)


def _refuse_several_patients(parts: Sequence[Part]) -> None:
    """Refuse to choose between patients.

    Raises:
        NoUsableSeries: ``multiple-patients``.
    """
    of_ct = [part for part in parts if part.is_ct and not part.is_localizer]
    headers = [instance.header for part in of_ct for instance in part.instances]
    identities = {text(header, "PatientID") or text(header, "PatientName").rstrip("^") for header in headers}
    # an issuer or a birth date may be left out of some images; two different ones are two patients
    further = [{text(header, keyword) for header in headers} for keyword in ("IssuerOfPatientID", "PatientBirthDate")]
    if len(identities) < 2 and all(len(values - {""}) < 2 for values in further):
        return
    sentence = "The input holds CT images of more than one patient."
    reason = InputRefusal("multiple-patients", sentence)
    raise NoUsableSeries(
        reason.code,
        sentence,
        "Give the images of one patient.",
        _describe_rejected([_Rejected(part, reason) for part in of_ct]),
    )


def _prove(parts: Sequence[Part], settings: Settings) -> tuple[list[_Usable], list[_Rejected]]:
    """Separate the parts that form an axial volume from those that do not."""
    usable: list[_Usable] = []
    rejected: list[_Rejected] = []
    waiting = list(parts)
    while waiting:
        part = waiting.pop()
        try:
            usable.append(_Usable(part, _axial_stack(part, settings)))
        except InputRefusal as reason:
            several = split_further(part, settings.series.min_num_slices) if reason.code in _REASONS_TO_SPLIT else []
            waiting.extend(several)
            if not several:
                rejected.append(_Rejected(part, reason))
    return usable, rejected


def _axial_stack(part: Part, settings: Settings) -> Stack:
    """Arrange a part's slices if they are axial CT.

    Raises:
        InputRefusal: The reason against the part.
    """
    if not part.is_ct:
        raise InputRefusal("not-ct", "Not CT images.")
    if part.is_localizer:
        raise InputRefusal("localizer", "A localizer, not cross-sections.")
    if len(part.instances) < settings.series.min_num_slices:
        raise InputRefusal(
            "too-few-slices",
            f"The series has {_count_slices(len(part.instances))}; it takes {settings.series.min_num_slices} or more.",
            "Send the complete series.",
        )
    stack = arrange_slices(part.instances, settings)
    to_axis_deg = np.rad2deg(np.arccos(min(1.0, abs(stack.geometry.direction[0][2]))))
    if to_axis_deg > settings.series.max_obliquity_deg:
        raise InputRefusal("not-axial", "The slices are not axial: a reformat in another plane.")
    return stack


def _count_slices(number: int) -> str:
    return "1 slice" if number == 1 else f"{number} slices"


def _rank(usable: Sequence[_Usable], settings: SeriesSettings) -> list[_Usable]:
    """Order the usable parts, the best first: the latest study before earlier ones, then by preference."""
    reach_mm = min(max((each.coverage_mm for each in usable), default=0.0), settings.whole_chest_mm)
    by_preference = sorted(usable, key=lambda each: (*_preferences(each, reach_mm, settings), each.part.key))
    moments = _study_moments(usable)
    return sorted(by_preference, key=lambda each: moments[each.part.study_instance_uid], reverse=True)


def _study_moments(usable: Sequence[_Usable]) -> dict[str, str]:
    """Date and time of each study, one for all its series even where they disagree."""
    moments: dict[str, str] = defaultdict(str)
    for each in usable:
        study = each.part.study_instance_uid
        moments[study] = max(moments[study], each.part.study_moment)
    return moments


def _preferences(each: _Usable, reach_mm: float, settings: SeriesSettings) -> tuple[float, ...]:
    """Give what speaks against a part, the weightiest first; compared in this order, less is better."""
    excess_mm = max(0.0, each.thickness_mm - settings.thin_slice_mm)
    return (
        each.part.is_derived,
        each.coverage_mm < settings.min_coverage_fraction * reach_mm,
        np.ceil(round(excess_mm / settings.thickness_step_mm, 3)),
        each.part.kernel_class,
        round(abs(np.log(each.thickness_mm / settings.preferred_slice_mm)), 3),
        -each.stack.geometry.shape[0],
    )


def _reason_against_lungs(candidate: _Usable, settings: Settings) -> InputRefusal | None:
    """Look for lungs in a few slices; the reason where there are none or the slices cannot be decoded.

    Raises:
        PixelsNeeded: The slices' files are not there.
    """
    if not all(instance.has_file for instance in candidate.part.instances):
        raise PixelsNeeded(candidate.part.series_instance_uid)
    try:
        air = estimate_lung_air(candidate.stack, settings)
    except InputRefusal as reason:
        return reason
    if air.lowest_hu > settings.series.max_air_hu:
        return InputRefusal("not-hu", "No value is as low as that of air, so the values are not Hounsfield units.")
    if air.litres < settings.series.min_lung_litres or air.share < settings.series.min_lung_share:
        return InputRefusal("no-lungs", "The images show no lungs.")
    return None


def _why_chosen(chosen: _Usable) -> str:
    return (
        f"{chosen.stack.geometry.shape[0]} axial slices of {chosen.thickness_mm:g} mm over"
        f" {chosen.coverage_mm:.0f} mm, lungs present."
    )


def _why_not(each: _Usable, chosen: _Usable, settings: SeriesSettings) -> tuple[str, str]:
    """Say in what a usable part was second to the chosen one: the first preference in which they differ."""
    if each.part.study_instance_uid != chosen.part.study_instance_uid:
        if "" < each.part.study_moment < chosen.part.study_moment:
            return "earlier-study", "An earlier study of the same patient."
        return "other-study", "Another study of the same patient."
    if each.part.has_siblings and each.part.series_instance_uid == chosen.part.series_instance_uid:
        return "multiple-acquisitions", "Another acquisition of the same region in the chosen series."
    reach_mm = min(max(each.coverage_mm, chosen.coverage_mm), settings.whole_chest_mm)
    own, best = (_preferences(part, reach_mm, settings) for part in (each, chosen))
    reasons = (
        ("derived", "Derived images; the chosen series holds original ones."),
        ("less-coverage", f"Covers {each.coverage_mm:.0f} mm; the chosen series {chosen.coverage_mm:.0f} mm."),
        ("thicker-slices", f"Slices of {each.thickness_mm:g} mm; the chosen series has {chosen.thickness_mm:g} mm."),
        ("other-kernel", "A sharper or much softer kernel than that of the chosen series."),
        ("other-thickness", f"Slices of {each.thickness_mm:g} mm; the chosen series has {chosen.thickness_mm:g} mm."),
        ("fewer-slices", "Fewer slices than the chosen series."),
    )
    for (code, sentence), value, best_value in zip(reasons, own, best, strict=True):
        if value > best_value:
            return code, sentence
    return "multiple-series", "As good as the chosen series; the choice is by identifier alone."


def _describe(part: Part, code: str, sentence: str) -> ConsideredSeries:
    number = text(part.header, "SeriesNumber")
    return ConsideredSeries(
        series_instance_uid=part.series_instance_uid,
        series_number=int(number) if number.lstrip("+-").isdecimal() else None,
        series_description=text(part.header, "SeriesDescription"),
        modality=text(part.header, "Modality"),
        num_instances=len(part.instances),
        chosen=code == "chosen",
        code=code,
        sentence=sentence,
    )


def _describe_rejected(rejected: Sequence[_Rejected]) -> tuple[ConsideredSeries, ...]:
    ordered = sorted(rejected, key=_telling, reverse=True)
    return tuple(_describe(each.part, each.reason.code, each.reason.sentence) for each in ordered)


def _telling(rejected: _Rejected) -> tuple[int, int, tuple[str, ...]]:
    """How much a rejected part says about the input: how far it got, then how large it is."""
    code = rejected.reason.code
    depth = _REASONS_BY_DEPTH.index(code) if code in _REASONS_BY_DEPTH else len(_REASONS_BY_DEPTH)
    return depth, len(rejected.part.instances), rejected.part.key


def _none_usable(
    rejected: Sequence[_Rejected], considered: tuple[ConsideredSeries, ...], passed_over: Sequence[PassedOver]
) -> NoUsableSeries:
    """Refuse for the most telling reason; where slices are missing and a file could not be read, that is the reason."""
    reason = max(rejected, key=_telling).reason
    unreadable = [file for file in passed_over if file.code in UNREADABLE_CODES]
    if reason.code in ("missing-slices", "non-uniform-spacing") and unreadable:
        sentence = f"{reason.sentence} {len(unreadable)} file(s) could not be read: {unreadable[0].sentence}"
        return NoUsableSeries(unreadable[0].code, sentence, "Send the file(s) again.", considered)
    return NoUsableSeries(reason.code, reason.sentence, reason.advice, considered)


def _nothing_found(passed_over: Sequence[PassedOver]) -> NoUsableSeries:
    """Say why an input without any image is refused."""
    codes = {file.code for file in passed_over}
    code = next((reason for reason in _FILE_REASONS if reason in codes), "no-images")
    sentences = {
        "too-large": "No image could be read: what the files declare is over the size limit.",
        "too-complex": "No image could be read: the files are nested too deeply.",
        "damaged-file": "No image could be read: the files are damaged.",
        "no-images": "The input holds no image.",
        "not-dicom": "The input holds no DICOM file.",
    }
    return NoUsableSeries(code, sentences[code], "Give a folder with a chest CT in DICOM.")
