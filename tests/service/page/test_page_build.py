"""The page's own checks, and what comes out of its build."""

import re

import pytest

pytestmark = [pytest.mark.service, pytest.mark.slow]


def test_types_lint_format_and_units_are_clean(built):
    import build

    assert build.main(["check"]) == 0


def test_nothing_stands_inline_and_nothing_comes_from_elsewhere(built):
    html = (built / "dist" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\ssrc=)", html) == []
    assert "<style" not in html
    assert " style=" not in html
    assert re.findall(r'(?:src|href)="(?!\./)', html) == []


def test_assets_need_no_eval_and_load_nothing_from_other_hosts(built):
    for path in (built / "dist" / "assets").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "eval(" not in text
        assert "new Function" not in text
        assert "@import" not in text
        assert re.findall(r"url\((?![\"']?(?:\./|#))[^)]*\)", text) == []
