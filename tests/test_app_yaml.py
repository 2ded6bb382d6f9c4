"""The file that the packager and the application read."""

import re
from pathlib import Path

import pytest
import yaml

from lung_nodules import __version__
from lung_nodules.errors import UsageRefusal
from lung_nodules.settings import Settings, read_settings

PATH = Path(__file__).resolve().parents[1] / "app.yaml"


def test_the_packager_finds_what_it_needs() -> None:
    document = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    application = document["application"]
    assert application["title"]
    assert application["version"] == __version__, "a quoted version, that of the package"
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert {"input-formats", "output-formats"} <= set(application)
    assert "pip-packages" not in application, "the packager glues them to requirements.txt without a line break"
    for name in ("memory", "gpuMemory", "sharedMemory"):
        assert re.fullmatch(r"\d+[MG]i", document["resources"][name])


def test_the_application_reads_it() -> None:
    assert read_settings(PATH) == Settings()


def test_requirements_end_with_a_line_break() -> None:
    assert PATH.with_name("requirements.txt").read_text(encoding="utf-8").endswith("\n")


@pytest.mark.parametrize("text", ["lung_nodules: {outputs: [hologram]}", "lung_nodules: {nonsense: 1}", "- a\n- b"])
def test_settings_that_cannot_be_used_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(text)
    with pytest.raises(UsageRefusal, match=r"app\.yaml"):
        read_settings(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("just text", "The settings file app.yaml holds no settings by name."),
        ("a: 1\nb: [1,", "The settings file app.yaml is not YAML in line 2."),
        ("lung_nodules: text", "The settings in app.yaml are not valid: "),
        ("lung_nodules: {nonsense: 1}", "There is no setting nonsense in app.yaml."),
        ("lung_nodules: {runtime: {num_threads: -1}}", "The setting runtime.num_threads in app.yaml is not valid: "),
    ],
)
def test_what_is_wrong_with_settings_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "app.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageRefusal) as refused:
        read_settings(path)
    assert refused.value.code == "bad-settings"
    assert refused.value.sentence.startswith(said)
    assert "\n" not in refused.value.sentence
    assert "http" not in refused.value.sentence


def test_a_settings_file_that_is_missing_is_said_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(UsageRefusal) as refused:
        read_settings(tmp_path / "app.yaml")
    expected = f"The settings file {tmp_path / 'app.yaml'} cannot be read: No such file or directory."
    assert refused.value.sentence == expected
