"""The series of a study as its archive lists them: those that can matter, and why the others cannot."""

from __future__ import annotations

from collections.abc import Sequence

from lung_nodules.archive.naming import check_uid
from lung_nodules.archive.protocol import Archive, SeriesEntry
from lung_nodules.stages.series import NoUsableSeries
from lung_nodules.stages.survey import ConsideredSeries


def list_series(archive: Archive, study_instance_uid: str) -> Sequence[SeriesEntry]:
    """Every series of a study, one of which can matter at least.

    Raises:
        ArchiveRefusal: See `Archive.find_series`; ``bad-uid``.
        NoUsableSeries: ``not-ct`` where none can.
    """
    series = archive.find_series(check_uid(study_instance_uid))
    if not any(can_matter(each) for each in series):
        considered = with_others((), series, archive)
        advice = "Give a study with a chest CT."
        raise NoUsableSeries("not-ct", "The study holds no CT images.", advice, considered)
    return series


def can_matter(entry: SeriesEntry) -> bool:
    """Whether a series is CT, or the archive does not tell what it is."""
    return entry.modality in ("CT", "")


def with_others(
    considered: Sequence[ConsideredSeries], series: Sequence[SeriesEntry], archive: Archive
) -> tuple[ConsideredSeries, ...]:
    """Add the series that the line had nothing of to choose from.

    Args:
        considered: The line's own words about the series that can matter.
        series: All of the study.
        archive: Asked for the number of instances where it has not told it.
    """
    known = {each.series_instance_uid for each in considered}
    return (*considered, *(_left_aside(each, archive) for each in series if each.series_instance_uid not in known))


def _left_aside(entry: SeriesEntry, archive: Archive) -> ConsideredSeries:
    count = entry.num_instances
    if count is None:
        count = len(archive.find_instances(entry.study_instance_uid, entry.series_instance_uid))
    code, sentence = ("no-images", "No image that can be read.") if can_matter(entry) else ("not-ct", "Not CT images.")
    return ConsideredSeries(
        series_instance_uid=entry.series_instance_uid,
        series_number=entry.series_number,
        series_description=entry.description,
        modality=entry.modality,
        num_instances=count,
        chosen=False,
        code=code,
        sentence=sentence,
    )
