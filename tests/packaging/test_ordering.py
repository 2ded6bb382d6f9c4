"""What an order may not ask for is said before anything is copied."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from programs import REPOSITORY

from lung_nodules.packaging.ordering import PackageOrder, make_package
from lung_nodules.packaging.tools import PackagingRefusal


@pytest.fixture
def order(tmp_path: Path) -> PackageOrder:
    return PackageOrder(folder=tmp_path / "map", stages_only=True)


def refusal_of(order: PackageOrder) -> PackagingRefusal:
    with pytest.raises(PackagingRefusal) as caught:
        make_package(order, lambda sentence: None)
    assert not order.folder.exists()
    return caught.value


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"cuda": True}, "--cuda "),
        ({"user": "1000:1000"}, "--user "),
        ({"network": "host"}, "--network "),
        ({"cuda": True, "network": "host"}, "--cuda and --network "),
    ],
)
def test_what_the_packager_has_no_option_for_is_not_ignored(
    order: PackageOrder, given: dict[str, Any], named: str
) -> None:
    refusal = refusal_of(replace(order, **given))
    assert refusal.code == "option-without-base"
    assert refusal.sentence.startswith(named)


@pytest.mark.parametrize("tag", ["registry:5000/x:1", "registry:5000/a/b:1", "Lung:1", "two words", "x:", "x:a:b", ""])
def test_a_tag_that_the_packager_spoils_is_refused(order: PackageOrder, tag: str) -> None:
    assert refusal_of(replace(order, tag=tag, stages_only=False)).code == "tag-unusable"


def test_with_a_base_all_of_it_is_taken(order: PackageOrder) -> None:
    asked = replace(order, base="debian:12-slim", tag="registry:5000/x:1", cuda=True, user="1000:1000", network="host")
    said: list[str] = []
    make_package(asked, said.append)
    assert "is staged in" in said[-1]


def test_the_script_refuses_with_one_sentence(tmp_path: Path) -> None:
    script = [REPOSITORY / "deploy" / "package.sh", "package", "--stage-only", "--folder", tmp_path / "map", "--cuda"]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "--cuda would be ignored" in done.stderr
    assert "Traceback" not in done.stderr
