"""Figures in texts are those of a run, and the run was of the models that are committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lung_nodules.errors import InputRefusal
from lung_nodules.evaluation.evaluate import model_in_words
from lung_nodules.evaluation.quoting import quote_figures
from lung_nodules.networks.record import KINDS, ModelRecord

REPOSITORY = Path(__file__).resolve().parents[2]
DOCUMENTS = {"crops": {"segmentation": {"dice": {"value": 0.84, "low": 0.8251, "high": 0.9, "n": 5}}}}
FIGURES = sorted((REPOSITORY / "docs" / "figures").glob("*.json"))


def committed() -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FIGURES}


@pytest.mark.parametrize(
    ("part", "words"),
    [("", "0.840 (0.825 to 0.900), n 5"), ("#value", "0.840"), ("#n", "5"), ("#interval", "0.825 to 0.900")],
)
def test_a_quotation_is_renewed_and_stays_one(part: str, words: str) -> None:
    opened = f"Dice <!--=crops:segmentation/dice{part}-->"
    once = quote_figures(f"{opened}old<!--/-->, and more <!--=crops:segmentation/dice-->x<!--/-->.", DOCUMENTS)
    assert once.startswith(f"{opened}{words}<!--/-->, and more ")
    assert once.endswith("<!--=crops:segmentation/dice-->0.840 (0.825 to 0.900), n 5<!--/-->.")
    assert quote_figures(once, DOCUMENTS) == once


def test_a_size_band_with_a_greater_sign_is_quoted() -> None:
    dice = {"value": 0.9, "low": None, "high": None, "n": 2}
    text = "<!--=crops:by_size/>=20/dice-->0.1<!--/--> and <!--=crops:by_size/>=20/dice#n--><!--/-->"
    renewed = "<!--=crops:by_size/>=20/dice-->0.900, n 2<!--/--> and <!--=crops:by_size/>=20/dice#n-->2<!--/-->"
    assert quote_figures(text, {"crops": {"by_size": {">=20": {"dice": dice}}}}) == renewed


def test_a_figure_that_was_not_measured_cannot_be_quoted() -> None:
    with pytest.raises(InputRefusal) as refused:
        quote_figures("<!--=crops:segmentation/iou-->0.99<!--/-->", DOCUMENTS)
    assert refused.value.code == "no-such-figure"


@pytest.mark.parametrize("path", [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))], ids=str)
def test_every_document_quotes_what_was_measured(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert quote_figures(text, committed()) == text
    assert "--><!--/-->" not in text


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_measured_are_the_models_that_are_committed(path: Path, kind: str) -> None:
    text = (REPOSITORY / "models" / kind / "record.json").read_text(encoding="utf-8")
    measured = json.loads(path.read_text(encoding="utf-8"))["about"][kind]
    assert measured == model_in_words(ModelRecord.model_validate_json(text))


@pytest.mark.parametrize("path", sorted((REPOSITORY / "docs").glob("model_card_*.md")), ids=lambda path: path.stem)
def test_a_card_says_what_limits_what_fails_and_what_the_numbers_do_not_say(path: Path) -> None:
    parts = path.read_text(encoding="utf-8").split("\n## ")[1:]
    texts = {title: text.strip() for title, _, text in (part.partition("\n") for part in parts)}
    assert {"Measured", "Known failures", "What the numbers do not say"} <= texts.keys()
    assert all(len(text) > 100 for text in texts.values())
