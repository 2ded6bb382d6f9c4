"""LUNA16's ten folds as ten lists of patients and sides: fold k tests, fold k + 1 tunes, the other eight train.

A list takes the place of the committed split (`split.SPLIT_VARIABLE`), for training and for judging alike.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from lung_nodules.cohorts.split import Split, read_split
from lung_nodules.errors import InputRefusal

_LIST = re.compile(r"fold(\d+)\.csv")


def list_name(fold: int) -> str:
    """The file name of a fold's list."""
    return f"fold{fold}.csv"


def write_fold_lists(folds: Mapping[str, int], num_folds: int, out: Path) -> tuple[Path, ...]:
    """Write `fold0.csv`, `fold1.csv`, ...: one list a fold that has patients.

    Args:
        folds: Patient ID to fold.
        num_folds: A fold is tuned on the next one, the last on the first.
        out: The folder; made where it is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    return tuple(_write_list(folds, fold, num_folds, out) for fold in sorted(set(folds.values())))


def read_fold_lists(folder: Path) -> dict[int, Mapping[str, Split]]:
    """The lists of a folder by fold.

    Raises:
        InputRefusal: ``no-folds`` where there is none, or no such folder; ``fold-twice`` where two lists test the same
            patient.
    """
    found = sorted((int(match[1]), path) for path in folder.glob("*.csv") if (match := _LIST.fullmatch(path.name)))
    if not found:
        sentence = f"There are no lists fold0.csv, fold1.csv ... in {folder}."
        raise InputRefusal("no-folds", sentence, "lung-nodules cohort folds LUNA16 --out FOLDER writes them.")
    lists = {fold: read_split(path) for fold, path in found}
    tested = [patient for sides in lists.values() for patient, side in sides.items() if side is Split.TEST]
    if len(tested) != len(set(tested)):
        raise InputRefusal("fold-twice", "Two folds test the same patient.")
    return lists


def _write_list(folds: Mapping[str, int], fold: int, num_folds: int, out: Path) -> Path:
    sides = {fold: Split.TEST, (fold + 1) % num_folds: Split.VALIDATION}
    path = out / list_name(fold)
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("patient_id", "split"))
        writer.writerows((patient, sides.get(folds[patient], Split.TRAIN).value) for patient in sorted(folds))
    return path
