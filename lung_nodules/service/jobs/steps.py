"""The steps of a job that touch a study: fetch, analyse, store. Each can be done again without harm.

They run in the worker's child (`child`), because they read what strangers have sent, may need all memory that there
is, and cannot be stopped other than with their process.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lung_nodules.archive.protocol import Archive
from lung_nodules.archive.refusals import PushRefusal
from lung_nodules.errors import InputRefusal, UsageRefusal
from lung_nodules.execution import read_line_settings
from lung_nodules.progress import Progress
from lung_nodules.service.jobs.analysis import Analysis, make_analysis
from lung_nodules.service.jobs.model import Job
from lung_nodules.service.jobs.models_hash import hash_models
from lung_nodules.service.jobs.places import upload_folder
from lung_nodules.service.jobs.results import ORIGIN, Origin, ResultFolder
from lung_nodules.service.settings import ServiceSettings

if TYPE_CHECKING:
    from lung_nodules.stages.report import EarlierDocument


class Steps:
    """The steps, with what is kept from one study to the next.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._analysis: Analysis | None = None
        self._analysis_hash = ""  # of the models that it has opened, or will

    def survey(self, job: Job, progress: Progress) -> Mapping[str, Any]:
        """What the study holds, as far as that is known without fetching it; empty where it is not.

        Raises:
            ArchiveRefusal: It cannot be asked; `heals` tells whether later.
            InputRefusal: ``not-ct``.
        """
        if job.source.kind != "archive":
            return {"study_instance_uid": "", "content_hash": ""}
        from lung_nodules.archive.fetching import content_of

        uid = job.source.study_instance_uid or ""
        with progress.stage("survey"), self._open(job.source.archive or "") as archive:
            return {"study_instance_uid": uid, "content_hash": content_of(archive, uid)}

    def fetch(self, job: Job, progress: Progress, into: Path) -> Mapping[str, Any]:
        """Have the study on this machine.

        Args:
            job: Names the source.
            progress: Told of what is fetched.
            into: Folder for what comes out of an archive; made when missing.

        Returns:
            `study_instance_uid` and `content_hash`, both empty where there is no CT (which the line refuses), and
            `folder`.

        Raises:
            ArchiveRefusal: It cannot be had; `heals` tells whether later.
            InputRefusal: ``several-studies``, ``invalid-uid``.
            UsageRefusal: ``input-not-found``, ``archive-not-configured``.
        """
        if job.source.kind == "archive":
            return self._fetch_from_archive(job, progress, into)
        path = job.source.path or ""
        folder = upload_folder(self._settings.data_folder, path) if job.source.kind == "upload" else Path(path)
        with progress.stage("instances"):
            uid, content = self._content_of(folder)
        return {"study_instance_uid": uid, "content_hash": content, "folder": str(folder)}

    def analyse(
        self,
        job: Job,
        progress: Progress,
        folder: Path,
        content_hash: str,
        into: Path,
        earlier: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Read the study; results of this content and these models that are there already are taken as they are.

        Args:
            job: Names the models.
            progress: Told of the stages of the line.
            folder: Holds the study.
            content_hash: Of the study.
            into: Folder for the results, which `ResultFolder.take` puts in their place; not made where they are there.
            earlier: The SR of the version of the study before, as the fields of an `EarlierDocument`.

        Returns:
            The summary of the report.

        Raises:
            Refusal: The study cannot be read; ``models-changed`` where other models are here than the job names.
        """
        models_hash, known = job.models_hash or "", ResultFolder(self._settings.data_folder, job.id).origin()
        if known is not None and (known.content_hash, known.models_hash) == (content_hash, models_hash):
            return known.summary.model_dump()
        into.mkdir(parents=True)
        summary = self._analysis_of(models_hash).analyse(folder, into, progress, _read_earlier(earlier))
        origin = Origin(content_hash=content_hash, models_hash=models_hash, summary=summary)
        (into / ORIGIN).write_text(origin.model_dump_json(), encoding="utf-8")
        return summary.model_dump()

    def store(self, job: Job, progress: Progress) -> Mapping[str, Any]:
        """Push SEG and SR to every destination; what is there already counts.

        Returns:
            `num_stored`: objects that a destination has confirmed; `document`: the SR among them, as the fields of a
            `EarlierDocument`, or None.

        Raises:
            ArchiveRefusal: A destination cannot be reached, or has not confirmed all of them.
        """
        results = ResultFolder(self._settings.data_folder, job.id)
        objects = [results.path(file.name) for file in results.files() if file.name.endswith(".dcm")]
        num_stored = 0
        for name in self._settings.destinations if objects else ():
            with progress.stage("store"), self._open(name) as archive:
                outcome = archive.push(objects)
            if not outcome.is_complete:
                _refuse_push(name, [failure.code for failure in outcome.failures])
            num_stored += outcome.num_confirmed
        return {"num_stored": num_stored, "document": _name_document(results.report())}

    def _analysis_of(self, models_hash: str) -> Analysis:
        """The analysis with the models of that hash; replaced ones are opened anew."""
        if self._analysis is None or self._analysis_hash != models_hash:
            self._analysis_hash = hash_models(self._settings)
            self._analysis = make_analysis(self._settings)
        if self._analysis_hash != models_hash:
            raise UsageRefusal("models-changed", "The models were replaced while the study was fetched.")
        return self._analysis

    def _fetch_from_archive(self, job: Job, progress: Progress, folder: Path) -> Mapping[str, Any]:
        from lung_nodules.archive.cache import InstanceCache
        from lung_nodules.archive.fetching import fetch_study

        uid = job.source.study_instance_uid or ""
        cache = InstanceCache(self._settings.data_folder / "cache", int(self._settings.cache.max_gib * 2**30))
        line_settings = read_line_settings(self._settings.line_config)
        with self._open(job.source.archive or "") as archive:
            fetched = fetch_study(archive, uid, cache, folder, line_settings, progress)
        return {"study_instance_uid": uid, "content_hash": fetched.content_hash, "folder": str(fetched.folder)}

    def _open(self, name: str) -> Archive:
        if name not in self._settings.archives:
            raise UsageRefusal("archive-not-configured", "The archive of this study is not among the settings.")
        from lung_nodules.archive.opening import open_archive

        return open_archive(self._settings.archives[name], name)

    def _content_of(self, folder: Path) -> tuple[str, str]:
        """The study whose CT a folder holds, and the hash of all CT images in it.

        Raises:
            InputRefusal: ``several-studies``: a job has one key, one result and one report; ``invalid-uid``.
        """
        from lung_nodules.archive.naming import hash_content_of, is_uid
        from lung_nodules.stages.instances import read_instances

        found = read_instances(folder, read_line_settings(self._settings.line_config)).found
        images = [each.header for each in found if str(each.header.get("Modality", "")) == "CT"]
        studies = {str(header.get("StudyInstanceUID", "")) for header in images}
        if (num_studies := len(studies - {""})) > 1:
            sentence = f"The files hold CT of {num_studies} studies."
            raise InputRefusal("several-studies", sentence, "Send each study by itself.")
        if not studies or "" in studies:
            return "", ""
        uid = studies.pop()
        if not is_uid(uid):
            raise InputRefusal("invalid-uid", "The Study Instance UID holds what a UID cannot hold.")
        return uid, hash_content_of(images)


def _read_earlier(fields: Mapping[str, Any] | None) -> EarlierDocument | None:
    from lung_nodules.stages.report import EarlierDocument

    return None if fields is None else EarlierDocument.model_validate(fields)


def _name_document(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The SR that a report names, as the fields of an `EarlierDocument`; None where it names none."""
    names = report.get("structured_report")
    if names is None:
        return None
    document = {key: names[key] for key in ("series_instance_uid", "sop_class_uid", "sop_instance_uid")}
    predecessor = names.get("predecessor")  # reports of version 1.3 have none
    return {"study_instance_uid": report["study"]["study_instance_uid"], **document, "predecessor": predecessor}


def _refuse_push(name: str, codes: list[str]) -> None:
    code = next((code for code in codes if code == "push-not-confirmed"), codes[0])
    sentence = f"{len(codes)} of the results did not arrive in the archive {name}."
    raise PushRefusal(code, sentence, "See the archive's log.")
