"""The table of an image's parts."""

from __future__ import annotations

import re

import pytest
from programs import REPOSITORY

from lung_nodules.packaging.sizes import ImageSizes, Part, sizes_table


@pytest.mark.parametrize("total_bytes", [1_000_000_000, 880_000_000])
def test_the_lines_sum_to_the_whole_and_no_package_is_left_out(total_bytes: int) -> None:
    parts = (
        Part("package torch", 576_100_000),
        Part("system", 145_600_000),
        Part("package skimage", 32_000_000),
        *(Part(f"package middling-{number}", 20_000_000) for number in range(6)),
        Part("/opt/holoscan/app", 1_800_000),
        *(Part(f"package small-{number}", 1_300_000) for number in range(10)),
    )
    first, *lines = sizes_table(ImageSizes("image:tag", total_bytes, parts)).splitlines()
    assert first == f"{total_bytes / 1e6:8.1f} MB  image:tag, of these"
    assert sum(map(float, numbers_of("\n".join(lines)))) == pytest.approx(total_bytes / 1e6)
    assert "   133.0 MB  16 smaller packages" in lines
    assert "     1.8 MB  /opt/holoscan/app" in lines


def test_the_table_in_the_docs_sums_to_its_first_line() -> None:
    whole, *parts = map(float, numbers_of((REPOSITORY / "docs" / "map.md").read_text(encoding="utf-8")))
    assert len(parts) > 10
    assert sum(parts) == pytest.approx(whole, abs=0.05 * len(parts)), "each is rounded"


def numbers_of(table: str) -> list[str]:
    return re.findall(r"^ *(-?[\d.]+) MB  ", table, re.MULTILINE)
