"""A study goes from the modality through the gateway, the application's container and the export into the archive.

Each case is run as the Task Manager's docker plug-in would run it, judged as the Workflow Manager and Argo would, and
exported as the gateway would. `replay_gateway`, `replay_task` and `real_orthanc` say what is theirs and what is not.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from programs import IDENTITY
from pydicom.uid import RLELossless
from real_orthanc import AE_TITLE, Orthanc
from replay_gateway import FOLDER, Gateway, receive, store
from replay_table import add_row
from replay_task import (
    KILLED,
    LIMIT_S,
    Container,
    DockerRunner,
    Ended,
    ProcessRunner,
    Runner,
    files_to_export,
    judge_argo,
    judge_docker,
    plan_container,
)

from lung_nodules.gateway.workflow import Workflow

pytestmark = pytest.mark.slow

BROKEN_STAGE = Path(__file__).parent / "broken_stage"
RESULTS, FAILURE = "env_HOLOSCAN_OUTPUT_PATH", "env_LUNG_NODULES_FAILURE_PATH"
SHORT_LIMIT_S = 20.0  # a start takes less on most machines; the run that it is for never ends
LARGEST_FILE = 12_000  # bytes: enough for the record of a failure, too few for the results
STAGES = (
    "networks",
    "instances",
    "series",
    "volume",
    "lungs",
    "quality",
    "detection",
    "segmentation",
    "nodules",
    "classification",
    "report",
    "results",
)


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        stage: Named by the error record; empty where there is none.
        docker, argo: What the task is taken for.
        exported: Modalities that reached the archive.
    """

    exit_code: int
    stage: str = ""
    docker: str = "failed"
    argo: str = "failed"
    exported: tuple[str, ...] = ()

    def __str__(self) -> str:
        record = f"record: {self.stage}" if self.stage else "no record"
        exported = " ".join(self.exported) or "nothing"
        return f"exit {self.exit_code}, {record}, docker {self.docker}, argo {self.argo}, exported {exported}"


def succeeded(*modalities: str) -> Outcome:
    return Outcome(0, "", "succeeded", "succeeded", modalities)


@dataclass(frozen=True)
class Site:
    """A site that replays: what a case needs."""

    workflow: Workflow
    image: str
    runner: Runner
    archive: Orthanc
    folder: Path

    def plan(self, payload: Path, execution: str = "execution", **arguments: str) -> Container:
        """The container of an execution; `arguments` are added to those of the workflow's task."""
        task = self.workflow.tasks[0]
        changed = task.model_copy(update={"args": {**task.args, **arguments}})
        return plan_container(changed, payload, self.folder / execution, self.image)

    def run(self, container: Container, kill_at: str | None = None, limit_s: float = LIMIT_S) -> tuple[Outcome, Ended]:
        """Run, judge, export and read back."""
        ended = self.runner.run(container, kill_at, limit_s)
        task = self.workflow.tasks[0]
        status = judge_docker(task, container, ended)
        exported = self._export(container) if status == "succeeded" else ()
        outcome = Outcome(
            ended.exit_code, _recorded_stage(container), status, judge_argo(task, container, ended), exported
        )
        for private in (*IDENTITY["PatientName"].split("^"), IDENTITY["PatientID"], IDENTITY["PatientBirthDate"]):
            assert private not in ended.said
        return outcome, ended

    def _export(self, container: Container) -> tuple[str, ...]:
        sent = [pydicom.dcmread(path) for path in files_to_export(container.outputs[RESULTS])]
        if not sent:
            return ()
        assert set(store(sent, AE_TITLE, "MONAISCU", self.archive.dicom_port)) == {0}
        stored = {str(one.SOPInstanceUID): one for one in self.archive.instances_of(sent[0].StudyInstanceUID)}
        for dataset in sent:
            assert stored[dataset.SOPInstanceUID] == dataset, "what is read back is what was sent"
        return tuple(sorted(str(stored[dataset.SOPInstanceUID].Modality) for dataset in sent))


def _recorded_stage(container: Container) -> str:
    path = container.outputs[FAILURE] / "report.json"
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    assert IDENTITY["PatientID"] not in text
    assert "ZEPPELIN" not in text
    return str(json.loads(text)["stage"])


@pytest.fixture
def site(workflow: Workflow, image: str, runner: Runner, archive: Orthanc, tmp_path: Path) -> Site:
    return Site(workflow, image, runner, archive, tmp_path)


def check(site: Site, case: str, expected: Outcome, got: Outcome) -> None:
    add_row(site.runner, case, expected, got)
    assert got == expected


def digest(folder: Path) -> str:
    """Of all files below a folder, with their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = (f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def series(payload: Path, description: str) -> list[Path]:
    """The files of a series of the payload, from the first slice to the last."""
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in payload.rglob("*.dcm")}
    found = [path for path, header in headers.items() if description in header.SeriesDescription]
    return sorted(found, key=lambda path: int(headers[path].InstanceNumber))


def remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()
        path.with_suffix(".dcm.json").unlink(missing_ok=True)


class TestTheGateway:
    def test_it_lays_out_a_study_with_json_beside_and_leaves_aside_what_is_no_ct(
        self, study: list[pydicom.Dataset], received: Path
    ) -> None:
        sent = {str(dataset.SOPInstanceUID) for dataset in study if dataset.Modality == "CT"}
        assert {path.name.removesuffix(".dcm") for path in received.glob("*/*/*.dcm")} == sent
        assert {path.name.removesuffix(".dcm.json") for path in received.glob("*/*/*.dcm.json")} == sent
        assert len(sent) < len(study), "the dose report is none"
        assert len(list(received.glob("*/*"))) == 3, "localizers, thin, thick"

    def test_a_pause_that_is_longer_than_the_timeout_makes_two_payloads(
        self, study: list[pydicom.Dataset], tmp_path: Path
    ) -> None:
        entity, source = (json.loads((FOLDER / name).read_text()) for name in ("ae.json", "source.json"))
        few = [dataset for dataset in study if dataset.Modality == "CT"][:4]
        for timeout_s, pause_s, expected in ((0.2, 0.6, [3, 1]), (30, 0.6, [4])):
            storage = tmp_path / str(timeout_s)
            with Gateway(entity, source, storage, timeout_s).listen() as gateway:
                store(few, entity["aeTitle"], source["aeTitle"], gateway.port, pause_s)
            assert [payload.num_instances for payload in gateway.payloads] == expected

    def test_it_takes_a_study_that_the_archive_sends(
        self, study: list[pydicom.Dataset], archive: Orthanc, tmp_path: Path
    ) -> None:
        entity, source = (json.loads((FOLDER / name).read_text()) for name in ("ae.json", "source.json"))
        store(study, AE_TITLE, "MONAISCU", archive.dicom_port)
        with Gateway(entity, source, tmp_path).listen() as gateway:
            archive.put(f"/modalities/{entity['aeTitle']}", [entity["aeTitle"], "127.0.0.1", gateway.port])
            assert archive.send(study[0].StudyInstanceUID, entity["aeTitle"]) == 0
        (payload,) = gateway.payloads
        assert payload.num_instances == sum(dataset.Modality == "CT" for dataset in study)

    @pytest.mark.parametrize(("called", "calling"), [("LUNG-NODULES", "STRANGER"), ("MONAI-DEPLOY", "ORTHANC")])
    def test_it_listens_to_whom_it_knows(
        self, study: list[pydicom.Dataset], tmp_path: Path, called: str, calling: str
    ) -> None:
        entity, source = (json.loads((FOLDER / name).read_text()) for name in ("ae.json", "source.json"))
        with (
            Gateway(entity, source, tmp_path).listen() as gateway,
            pytest.raises(ConnectionError, match="takes no association"),
        ):
            store(study[:1], called, calling, gateway.port)


class TestResults:
    def test_a_study_reaches_the_archive(self, site: Site, received: Path) -> None:
        before = digest(received)
        container = site.plan(received)
        outcome, _ = site.run(container)
        check(site, "a study with distractors", succeeded("SEG", "SR"), outcome)
        assert digest(received) == before, "the input is as it was"
        source = pydicom.dcmread(next(received.rglob("*.dcm")), stop_before_pixels=True)
        given = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in received.rglob("*.dcm")}
        results = [pydicom.dcmread(path) for path in files_to_export(container.outputs[RESULTS])]
        made = {str(result.SOPInstanceUID) for result in results}
        for result in results:
            assert result.StudyInstanceUID == source.StudyInstanceUID
            assert (result.PatientID, result.PatientName) == (source.PatientID, source.PatientName)
            assert _referenced(result) <= given | made
            assert _referenced(result) & given

    def test_a_study_without_a_nodule_reaches_the_archive(self, site: Site, received: Path) -> None:
        container = site.plan(received, env_HOLOSCAN_CONFIG_PATH="/replay/app.yaml")
        (site.folder / "config").mkdir()
        (site.folder / "config" / "app.yaml").write_text(yaml.safe_dump(_settings_that_find_nothing(site.runner)))
        outcome, _ = site.run(
            replace(container, mounts={**container.mounts, "/replay": (site.folder / "config", True)})
        )
        check(site, "no nodule found", succeeded("SR"), outcome)
        report = json.loads((container.outputs[RESULTS] / "report.json").read_bytes())
        assert report["findings"] == []

    def test_a_second_run_into_the_same_folder_replaces_the_first(self, site: Site, received: Path) -> None:
        first, _ = site.run(site.plan(received))
        container = site.plan(received)
        names = sorted(path.name for path in container.outputs[RESULTS].rglob("*"))
        uids = {pydicom.dcmread(path).SOPInstanceUID for path in files_to_export(container.outputs[RESULTS])}
        second, _ = site.run(container)
        check(site, "a second run into the same folder", first, second)
        assert sorted(path.name for path in container.outputs[RESULTS].rglob("*")) == names
        assert {pydicom.dcmread(path).SOPInstanceUID for path in files_to_export(container.outputs[RESULTS])} == uids

    def test_compressed_pixels_arrive_as_they_were_sent(
        self, site: Site, study: list[pydicom.Dataset], tmp_path: Path
    ) -> None:
        compressed = [deepcopy(dataset) for dataset in study if dataset.Modality == "CT"]
        for dataset in compressed:
            dataset.compress(RLELossless, generate_instance_uid=False)
        payload = receive(compressed, tmp_path / "gateway")
        (file_meta,) = {
            pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
            for path in payload.rglob("*.dcm")
        }
        assert file_meta == RLELossless
        outcome, _ = site.run(site.plan(payload))
        check(site, "compressed pixels (RLE)", succeeded("SEG", "SR"), outcome)

    def test_without_a_user_the_image_s_own_runs(self, site: Site, received: Path) -> None:
        outcome, _ = site.run(replace(site.plan(received), user=None))
        check(site, "no user given", succeeded("SEG", "SR"), outcome)


def _settings_that_find_nothing(runner: Runner) -> dict[str, Any]:
    """The runner's settings, with a least size of candidates that none has."""
    settings: dict[str, Any] = {}
    if isinstance(runner, ProcessRunner):
        settings = yaml.safe_load(Path(runner.image_environment["HOLOSCAN_CONFIG_PATH"]).read_text())["lung_nodules"]
    return {"lung_nodules": {**settings, "detection": {**settings.get("detection", {}), "min_component_mm3": 1e9}}}


def _referenced(dataset: pydicom.Dataset) -> set[str]:
    """Every instance that a dataset refers to."""
    return {str(element.value) for element in dataset.iterall() if element.keyword == "ReferencedSOPInstanceUID"}


def empty(payload: Path) -> None:
    shutil.rmtree(payload)
    payload.mkdir()


def only_json(payload: Path) -> None:
    for path in payload.rglob("*.dcm"):
        path.unlink()


def no_axial_series(payload: Path) -> None:
    remove([*series(payload, "Chest 3 mm"), *series(payload, "Chest 5 mm"), *series(payload, "Chest 6 mm")])


def only_thin_without(payload: Path, change: Callable[[Path], object]) -> None:
    """Leave the thin series alone, and do something to a slice in its middle."""
    thin = series(payload, "Chest 3 mm")
    remove([path for path in payload.rglob("*.dcm") if path not in thin])
    change(thin[len(thin) // 2])


def missing_slice(payload: Path) -> None:
    only_thin_without(payload, Path.unlink)


def damaged_file(payload: Path) -> None:
    only_thin_without(payload, lambda path: path.write_bytes(path.read_bytes()[:3000]))


class TestInputs:
    @pytest.mark.parametrize(
        ("change", "stage"),
        [
            (empty, "series"),
            (only_json, "series"),
            (no_axial_series, "series"),
            (missing_slice, "series"),
            (damaged_file, "volume"),
        ],
        ids=["empty input", "only JSON", "no chest CT", "missing slice", "damaged file"],
    )
    def test_what_cannot_be_read_is_refused_and_nothing_is_exported(
        self,
        site: Site,
        payload: Path,
        change: Callable[[Path], object],
        stage: str,
        request: pytest.FixtureRequest,
    ) -> None:
        change(payload)
        container = site.plan(payload)
        outcome, ended = site.run(container)
        check(site, request.node.callspec.id.rpartition("-")[2], Outcome(3, stage), outcome)
        assert not list(container.outputs[RESULTS].iterdir())
        report = json.loads((container.outputs[FAILURE] / "report.json").read_bytes())
        assert report["sentence"] in ended.said


class TestFailures:
    @pytest.mark.parametrize("stage", STAGES)
    def test_a_stage_that_breaks_is_named_and_nothing_is_exported(self, site: Site, received: Path, stage: str) -> None:
        container = _spoilt(site, received, breaks=stage)
        outcome, ended = site.run(container)
        check(site, f"stage {stage} breaks", Outcome(1, stage), outcome)
        assert not list(container.outputs[RESULTS].iterdir())
        assert f"Internal error (ValueError) in the stage {stage}" in ended.said
        assert "Traceback" not in ended.said

    def test_a_run_that_fails_takes_an_earlier_one_s_results_away(self, site: Site, received: Path) -> None:
        site.run(site.plan(received))
        container = _spoilt(site, received, breaks="classification")
        outcome, _ = site.run(container)
        check(site, "a failed run after a good one", Outcome(1, "classification"), outcome)
        outcome, _ = site.run(site.plan(received))
        check(site, "a good run after a failed one", succeeded("SEG", "SR"), outcome)

    @pytest.mark.parametrize(
        ("line", "case"), [("instances:", "killed while it reads"), ("report:", "killed while results are written")]
    )
    def test_a_run_that_is_killed_leaves_nothing(self, site: Site, received: Path, line: str, case: str) -> None:
        container = site.plan(received)
        outcome, _ = site.run(container, kill_at=line)
        check(site, case, Outcome(KILLED), outcome)
        assert not list(container.outputs[RESULTS].iterdir())

    def test_a_run_that_does_not_end_is_killed_at_the_timeout(self, site: Site, received: Path) -> None:
        container = _spoilt(site, received, hangs="instances")
        outcome, ended = site.run(container, limit_s=SHORT_LIMIT_S)
        check(site, "killed at the timeout", Outcome(KILLED), outcome)
        assert ended.timed_out
        assert not list(container.outputs[RESULTS].iterdir())

    def test_a_run_that_is_killed_does_not_pass_off_an_earlier_one_s_results(self, site: Site, received: Path) -> None:
        site.run(site.plan(received))
        container = site.plan(received)
        assert list(container.outputs[RESULTS].iterdir())
        outcome, _ = site.run(container, kill_at="instances:")
        check(site, "killed after a good run", Outcome(KILLED), outcome)

    def test_results_that_have_no_room_are_not_left_in_part(self, site: Site, received: Path) -> None:
        container = site.plan(received)
        if isinstance(site.runner, DockerRunner):
            limit = {"Name": "fsize", "Soft": LARGEST_FILE, "Hard": LARGEST_FILE}
            container = replace(container, host_config={"Ulimits": [limit]})
        else:
            container = replace(container, entrypoint=("prlimit", f"--fsize={LARGEST_FILE}", *container.entrypoint))
        outcome, _ = site.run(container)
        check(site, "no room for the results", Outcome(5, "results"), outcome)
        assert not list(container.outputs[RESULTS].iterdir())

    def test_an_output_that_cannot_be_written_is_told(self, site: Site, received: Path) -> None:
        container = site.plan(received)
        results = container.outputs[RESULTS]
        if isinstance(site.runner, DockerRunner):
            results.chmod(0o555)
            container.outputs[FAILURE].chmod(0o777)
            container = replace(container, user="12345:12345")  # the plug-in has given the folders to somebody else
        else:
            mounts = {path: (folder, ro) for path, (folder, ro) in container.mounts.items() if folder != results}
            target = site.folder / "file" / "output"
            target.parent.touch()
            environment = {**container.environment, "HOLOSCAN_OUTPUT_PATH": str(target)}
            container = replace(container, mounts=mounts, environment=environment)
        outcome, ended = site.run(container)
        check(site, "output that cannot be written", Outcome(5, "order"), outcome)
        assert "The output folder cannot be" in ended.said


def _spoilt(site: Site, payload: Path, breaks: str = "", hangs: str = "") -> Container:
    """A container in which one stage raises, or one never ends."""
    spoilt = {"env_PYTHONPATH": "/broken_stage", "env_REPLAY_BREAKS": breaks, "env_REPLAY_HANGS": hangs}
    container = site.plan(payload, **spoilt)
    return replace(container, mounts={**container.mounts, "/broken_stage": (BROKEN_STAGE, True)})


class TestOfProcesses:
    """What takes other models or other limits than the image has."""

    @pytest.fixture
    def site(self, workflow: Workflow, image: str, runner: Runner, archive: Orthanc, tmp_path: Path) -> Site:
        if not isinstance(runner, ProcessRunner):
            pytest.skip("of processes only")
        return Site(workflow, image, runner, archive, tmp_path)

    def _with_models(self, site: Site, change: Callable[[Path], object]) -> Site:
        """The same site with a changed copy of the models."""
        assert isinstance(site.runner, ProcessRunner)
        environment = dict(site.runner.image_environment)
        models = Path(shutil.copytree(environment["HOLOSCAN_MODEL_PATH"], site.folder / "models"))
        change(models)
        environment["HOLOSCAN_MODEL_PATH"] = str(models)
        return replace(site, runner=replace(site.runner, image_environment=environment))

    def test_a_model_that_was_altered_is_named(self, site: Site, received: Path) -> None:
        def alter(models: Path) -> None:
            with (models / "detection" / "weights.safetensors").open("ab") as weights:
                weights.write(b"x")

        site = self._with_models(site, alter)
        outcome, _ = site.run(site.plan(received))
        check(site, "altered model", Outcome(4, "networks"), outcome)


class TestOfContainers:
    """What a process of this machine cannot show."""

    @pytest.fixture
    def site(self, workflow: Workflow, image: str, runner: Runner, archive: Orthanc, tmp_path: Path) -> Site:
        if not isinstance(runner, DockerRunner):
            pytest.skip("of containers only")
        return Site(workflow, image, runner, archive, tmp_path)

    @pytest.mark.parametrize("user", ["1000:1000", "54321:54321"])
    def test_a_strict_site_runs_it(self, site: Site, received: Path, user: str) -> None:
        container = site.plan(received, user=user)
        strict = {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "Tmpfs": {"/tmp": ""},
            "ShmSize": 64 * 2**20,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
        }
        outcome, _ = site.run(replace(container, host_config=strict))
        check(site, f"no network, read-only root, user {user}", succeeded("SEG", "SR"), outcome)

    def test_the_image_s_own_entry_passes_the_exit_code_on(self, site: Site, payload: Path) -> None:
        only_json(payload)
        container = site.plan(payload)
        container = replace(container, entrypoint=("/var/holoscan/tools",), command=("--log-level", "DEBUG"))
        outcome, _ = site.run(container)
        check(site, "by the image's own entry", Outcome(3, "series"), outcome)
