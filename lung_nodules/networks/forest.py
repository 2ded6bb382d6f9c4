"""A random forest on disk: `forest.skops`, and a `record.json` that says what it reads and how good it is.

skops (skops.readthedocs.io) writes scikit-learn's objects without pickle, and builds only the types that are named on
loading. Its file is bound to the version of scikit-learn and says nothing of where it comes from: so the record names
that version and the SHA-256. scikit-learn follows the indices in a tree unchecked, so they are checked here.

The line does not use a forest. Evaluation draws it beside the networks.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lung_nodules.errors import ModelRefusal
from lung_nodules.networks.record import RECORD_FILE, Score, TrainingData, sha256_of

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

FOREST_FILE = "forest.skops"
TREE_TYPE = "sklearn.tree._tree.Tree"  # the one type that skops leaves to the caller; `_refuse_broken_trees` checks it

Table = npt.NDArray[np.float64]


class ForestRecord(BaseModel):
    """Everything about a forest but its trees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["forest"] = "forest"
    version: str
    description: str
    licence: str
    inputs: tuple[str, ...] = Field(min_length=1)  # of the trees, in their order: `feature.*`, `outliner.*`, ...
    scikit_learn: str  # the version that wrote it
    data: TrainingData
    training: dict[str, Any]
    scores: tuple[Score, ...]
    git_commit: str
    forest_sha256: str


@dataclass(frozen=True)
class Forest:
    """A forest that is ready to judge."""

    record: ForestRecord
    trees: RandomForestClassifier = field(repr=False)

    def suspicion(self, inputs: Sequence[Mapping[str, float]]) -> Table:
        """The share of suspicious nodules among those like each of these, 0-1, (rows,); inputs by name."""
        table = np.array([[one[name] for name in self.record.inputs] for one in inputs], dtype=np.float64)
        return np.asarray(self.trees.predict_proba(table)[:, 1], dtype=np.float64) if len(table) else np.zeros(0)


def write_forest(folder: Path, trees: RandomForestClassifier, record: Mapping[str, Any]) -> ForestRecord:
    """Write a forest's folder; the SHA-256 and the version of scikit-learn are added to the record.

    Args:
        folder: Made where it is missing; an older forest in it is replaced.
        trees: Fitted, of two classes.
        record: The other fields of `ForestRecord`.
    """
    import sklearn
    from skops import io

    folder.mkdir(parents=True, exist_ok=True)
    io.dump(trees, folder / FOREST_FILE, compression=zipfile.ZIP_DEFLATED)
    added = {"scikit_learn": sklearn.__version__, "forest_sha256": sha256_of(folder / FOREST_FILE)}
    checked = ForestRecord.model_validate({**record, **added})
    text = json.dumps(checked.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / RECORD_FILE).write_text(text + "\n", encoding="utf-8")
    return checked


def load_forest(folder: Path) -> Forest:
    """Read a forest's folder and check it against its record.

    Raises:
        ModelRefusal: ``model-missing``, ``model-record-invalid``, ``model-altered``, or ``model-unsupported`` where
            another version of scikit-learn wrote it or skops is not installed.
    """
    record = _read_record(folder)
    path = folder / FOREST_FILE
    if not path.is_file():
        raise ModelRefusal("model-missing", f"The trees of the forest {folder.name} are missing.")
    if sha256_of(path) != record.forest_sha256:
        raise ModelRefusal("model-altered", f"The forest {folder.name} is not the one that its record names.")
    _refuse_other_version(record)
    from skops import io

    trees = io.load(path, trusted=[TREE_TYPE])
    _refuse_broken_trees(trees, len(record.inputs))
    return Forest(record, trees)


def _read_record(folder: Path) -> ForestRecord:
    path = folder / RECORD_FILE
    if not path.is_file():
        raise ModelRefusal("model-missing", f"There is no forest in the folder {folder.name}.")
    try:
        return ForestRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ModelRefusal(
            "model-record-invalid", f"The record of the forest {folder.name} cannot be read by this version."
        ) from error


def _refuse_other_version(record: ForestRecord) -> None:
    try:
        import sklearn
        import skops  # noqa: F401  # asked for here, so that what is missing becomes a sentence
    except ImportError as error:
        raise ModelRefusal(
            "model-unsupported", "A forest needs scikit-learn and skops.", "Install the extra: pip install .[train]"
        ) from error
    if _minor(sklearn.__version__) != _minor(record.scikit_learn):
        raise ModelRefusal(
            "model-unsupported",
            f"The forest was written by scikit-learn {record.scikit_learn}, and {sklearn.__version__} is installed.",
            "Train it again: lung-nodules train forest.",
        )


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _refuse_broken_trees(trees: Any, num_inputs: int) -> None:
    """Every index of every tree must stay inside, and lead from parent to later child, as scikit-learn grows them."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    is_sound = (
        isinstance(trees, RandomForestClassifier)
        and trees.n_features_in_ == num_inputs
        and list(trees.classes_) == [False, True]
        and all(
            isinstance(one, DecisionTreeClassifier) and _is_sound_tree(one.tree_, num_inputs)
            for one in trees.estimators_
        )
    )
    if not is_sound:
        raise ModelRefusal("model-altered", "The trees of the forest do not fit together.")


def _is_sound_tree(tree: Any, num_inputs: int) -> bool:
    count, left, right, feature = tree.node_count, tree.children_left, tree.children_right, tree.feature
    arrays = (left, right, feature, tree.value)
    if tree.n_features != num_inputs or any(len(array) != count for array in arrays) or not count:
        return False
    inner = left != -1
    numbers = np.arange(count)[inner]
    children = np.stack([left[inner], right[inner]])
    in_order = bool(((children > numbers) & (children < count)).all())
    return in_order and bool(((feature[inner] >= 0) & (feature[inner] < num_inputs)).all())
