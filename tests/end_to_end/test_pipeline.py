"""The line as a function: for services, evaluation and whoever imports the library."""

from pathlib import Path

import pytest

from lung_nodules import execution
from lung_nodules.errors import ExitCode, InputRefusal
from lung_nodules.execution import Order, execute
from lung_nodules.networks.opened import Networks, open_networks
from lung_nodules.networks.record import load_models
from lung_nodules.pipeline import analyse
from lung_nodules.settings import Settings, read_settings
from lung_nodules.timings import Stopwatch

STAGES = [
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
]


@pytest.fixture(scope="module")
def settings(config: Path) -> Settings:
    return read_settings(config)


@pytest.fixture(scope="module")
def networks(models: Path, settings: Settings) -> Networks:
    return open_networks(load_models(models), settings.runtime)


def test_networks_opened_once_read_any_number_of_studies_alike(
    study: Path, networks: Networks, settings: Settings
) -> None:
    watch = Stopwatch()
    first = analyse(study / "dicom", networks, settings, watch)
    second = analyse(study / "dicom", networks, settings)
    assert list(watch.seconds) == STAGES
    assert set(first.report.run.seconds_by_stage) == set(STAGES) - {"report"}
    assert first.report.model_copy(update={"run": second.report.run}) == second.report
    assert (first.outlines.label_map == second.outlines.label_map).all()
    assert first.outlines.label_map.shape == first.volume.array.shape == first.lungs.label_map.shape


def test_the_stage_that_refuses_can_be_named(tmp_path: Path, networks: Networks, settings: Settings) -> None:
    watch = Stopwatch()
    with pytest.raises(InputRefusal):
        analyse(tmp_path, networks, settings, watch)
    assert watch.under_way == "series"


def test_a_line_that_ends_without_results_is_an_internal_error(
    tmp_path: Path, models: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(execution, "set_up_logging", lambda level: None)
    (tmp_path / "report.json").write_text("an earlier run's")
    order = Order(tmp_path, tmp_path, models, config)
    assert execute(order, lambda task: None) is ExitCode.INTERNAL_ERROR
    assert "no results were written" in capsys.readouterr().err
