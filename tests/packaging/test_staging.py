"""The copy holds what is committed and a MAP needs, and nothing else."""

import subprocess
from pathlib import Path

import pytest

from lung_nodules.packaging.staging import StagedApplication, stage_application
from lung_nodules.packaging.tools import PackagingRefusal


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, "-C", folder, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in miniature."""
    folder = tmp_path / "checkout"
    for name in (
        "__main__.py",
        "app/command.py",
        "operators/one.py",
        "lung_nodules/__init__.py",
        "app.yaml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "docs/map.md",
        "models/detection/record.json",
        "models/forest/record.json",
        "tests/test_it.py",
        "deploy/map/tools",
        "deploy/map.Dockerfile",
        "deploy/gateway/ae.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("committed")
    (folder / "requirements.txt").write_text("pydantic\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "All")
    return folder


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_parts_lie_where_they_lie_in_the_image(checkout: Path, tmp_path: Path) -> None:
    staged = stage_application(checkout, tmp_path / "map")
    names = {name for name in files_in(staged.folder) if "third-party" not in name}
    assert names == {
        "app/__main__.py",
        "app/app/command.py",
        "app/operators/one.py",
        "app/lung_nodules/__init__.py",
        "app/app.yaml",
        "app/requirements.txt",
        "models/detection/record.json",
        "docs/README.md",
        "docs/CHANGELOG.md",
        "docs/LICENSE",
        "docs/map.md",
        "deploy/map/tools",
        "deploy/map.Dockerfile",
    }
    assert staged.is_clean


def test_what_is_not_committed_is_not_in_the_copy_and_is_told(checkout: Path, tmp_path: Path) -> None:
    (checkout / "app.yaml").write_text("changed")
    (checkout / "lung_nodules" / "new.py").touch()
    staged = stage_application(checkout, tmp_path / "map")
    assert (staged.application / "app.yaml").read_text() == "committed"
    assert not (staged.application / "lung_nodules" / "new.py").exists()
    assert not staged.is_clean


def test_changes_elsewhere_do_not_matter(checkout: Path, tmp_path: Path) -> None:
    (checkout / "tests" / "test_it.py").write_text("changed")
    assert stage_application(checkout, tmp_path / "map").is_clean


def test_an_earlier_copy_is_replaced(checkout: Path, tmp_path: Path) -> None:
    staged = stage_application(checkout, tmp_path / "map")
    (staged.folder / "host").mkdir()
    (staged.application / "left.py").touch()
    git(checkout, "rm", "-q", "--cached", "operators/one.py")
    (checkout / "operators" / "two.py").touch()
    git(checkout, "add", "operators/two.py")
    git(checkout, "commit", "-q", "-m", "Two")
    again = stage_application(checkout, tmp_path / "map")
    assert again.commit != staged.commit
    assert files_in(again.application / "operators") == {"two.py"}
    assert not (again.application / "left.py").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(PackagingRefusal, match="something else") as caught:
        stage_application(checkout, tmp_path)
    assert caught.value.code == "folder-in-use"
    assert (tmp_path / "precious").exists()


def test_without_a_checkout_there_is_nothing_to_package(tmp_path: Path) -> None:
    with pytest.raises(PackagingRefusal, match="git checkout") as caught:
        stage_application(tmp_path, tmp_path / "map")
    assert caught.value.code == "not-a-checkout"
    assert not (tmp_path / "map").exists()


def test_licences_of_others_are_collected(staged: StagedApplication) -> None:
    folder = staged.docs / "third-party"
    index = (folder / "README.md").read_text()
    for name in ("torch", "monai", "pydicom", "holoscan-cu13", "grpcio"):
        assert f"| {name} |" in index, "grpcio comes with an extra of an extra"
    assert "| mypy |" not in index, "tools of ours are not in the package"
    assert "Apache" in (folder / "monai" / "LICENSE").read_text()
