"""LIDC-IDRI's XML: what up to four readers marked in one scan.

`LidcReadMessage` holds one `readingSession` a reader, which holds `unblindedReadNodule` (with `roi`, each one slice)
and `nonNodule`. Files differ in namespace, order and blanks, so elements are found by their local name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from lung_nodules.cohorts.marks import SCALES, Annotation, Outline, PointMark, Reading, within_scales
from lung_nodules.errors import InputRefusal

ROOT = "LidcReadMessage"
_MIN_POINTS = 2  # a region of one point is a mark for a nodule below 3 mm
_FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")

Element = ElementTree.Element


def is_lidc_xml(path: Path) -> bool:
    """Whether a file looks like the readers' XML of a CT: the collection also holds that of radiographs."""
    with path.open("rb") as file:
        return ROOT.encode() in file.read(4096)


def read_lidc_xml(path: Path) -> Reading:
    """Read one file.

    Returns:
        The marks; reader k is the k-th reading session of this file and nobody in another file.

    Raises:
        InputRefusal: ``bad-readings`` where the file is not such XML or one of its numbers cannot be read.
    """
    root = _parse(path)
    try:
        return _reading(root)
    except (ValueError, KeyError) as error:
        raise InputRefusal("bad-readings", f"A value in {path.name} is missing or unusable.") from error


def _parse(path: Path) -> Element:
    content = path.read_bytes()
    if any(word in content for word in _FORBIDDEN):
        raise InputRefusal("bad-readings", f"{path.name} defines entities, which the readers' XML does not.")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314  # no entity can be defined, see above
    except ElementTree.ParseError as error:
        raise InputRefusal("bad-readings", f"{path.name} is not XML.") from error
    if _name(root) != ROOT:
        raise InputRefusal("bad-readings", f"{path.name} does not hold the readings of a CT.")
    return root


def _reading(root: Element) -> Reading:
    sessions = list(_children(root, "readingSession"))
    annotations: list[Annotation] = []
    small: list[PointMark] = []
    non_nodules: list[PointMark] = []
    for reader, session in enumerate(sessions):
        for nodule in _children(session, "unblindedReadNodule"):
            annotation = _annotation(nodule, reader)
            if annotation:
                annotations.append(annotation)
            else:
                small.extend(_small_nodule(nodule, reader))
        non_nodules.extend(_non_nodule(mark, reader) for mark in _children(session, "nonNodule"))
    uid = _first_text(root, ("SeriesInstanceUid", "SeriesInstanceUID"))
    return Reading(uid, tuple(annotations), tuple(small), tuple(non_nodules), len(sessions))


def _annotation(nodule: Element, reader: int) -> Annotation | None:
    """The outlines of a nodule; None where it is a point."""
    outlines = tuple(_outline(region) for region in _children(nodule, "roi"))
    if all(len(outline.points) < _MIN_POINTS for outline in outlines):
        return None
    return Annotation(outlines, _ratings(nodule), reader, _text(nodule, "noduleID"))


def _outline(region: Element) -> Outline:
    points = [_place(edge) for edge in _children(region, "edgeMap")]
    return Outline(
        points=np.array(points, dtype=np.int32).reshape(-1, 2),
        z_lps_mm=float(_text(region, "imageZposition")),
        sop_instance_uid=_text(region, "imageSOP_UID"),
        is_inclusion=_text(region, "inclusion").upper() != "FALSE",
    )


def _ratings(nodule: Element) -> dict[str, int]:
    for characteristics in _children(nodule, "characteristics"):
        values = {name: _text(characteristics, name) for name in SCALES}
        return within_scales({name: int(value) for name, value in values.items() if value})
    return {}


def _small_nodule(nodule: Element, reader: int) -> Iterator[PointMark]:
    for region in _children(nodule, "roi"):
        for edge in _children(region, "edgeMap"):
            yield _point(region, edge, reader, _text(nodule, "noduleID"))


def _non_nodule(mark: Element, reader: int) -> PointMark:
    places = list(_children(mark, "locus"))
    if not places:
        raise KeyError("locus")
    return _point(mark, places[0], reader, _text(mark, "nonNoduleID"))


def _point(slice_of: Element, place: Element, reader: int, mark_id: str) -> PointMark:
    column, row = _place(place)
    return PointMark(
        column, row, float(_text(slice_of, "imageZposition")), _text(slice_of, "imageSOP_UID"), reader, mark_id
    )


def _place(element: Element) -> tuple[int, int]:
    return int(_text(element, "xCoord")), int(_text(element, "yCoord"))


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _matching(name: str) -> Callable[[Element], bool]:
    return lambda element: _name(element) == name


def _children(parent: Element, name: str) -> Iterator[Element]:
    return filter(_matching(name), parent)


def _text(parent: Element, name: str) -> str:
    for child in _children(parent, name):
        return (child.text or "").strip()
    return ""


def _first_text(root: Element, names: tuple[str, ...]) -> str:
    """The text of the first element of one of these names, at any depth."""
    for element in root.iter():
        if _name(element) in names and (element.text or "").strip():
            return (element.text or "").strip()
    raise KeyError(names[0])
