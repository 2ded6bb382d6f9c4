"""A model folder: weights in safetensors and `record.json`, which says what the network is and where it comes from.

Reading a record needs neither torch nor the weights, so that listing the models answers at once. Loading checks the
SHA-256 of the weights against the record, so that what runs is what was measured.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lung_nodules.errors import ModelRefusal

if TYPE_CHECKING:
    from torch import Tensor, nn

Kind = Literal["detection", "segmentation", "classification"]
KINDS: tuple[Kind, ...] = ("detection", "segmentation", "classification")
RECORD_FILE = "record.json"
WEIGHTS_FILE = "weights.safetensors"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Architecture(_Part):
    """Which network, and the arguments that build it."""

    name: str
    arguments: dict[str, Any] = {}


class Preprocessing(_Part):
    """What the network is fed: cubes of `patch_voxels` at `spacing_mm`, HU of the window scaled to 0-1."""

    spacing_mm: float = Field(gt=0)
    window_hu: tuple[float, float]
    patch_voxels: int = Field(ge=8)


class OperatingPoint(_Part):
    """A named threshold, and where it was chosen."""

    threshold: float = Field(ge=0, le=1)
    false_positives_per_scan: float | None = None
    chosen_on: str


class Score(_Part):
    """One measured figure with its 95 % interval."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int
    cohort: str


class LinearHead(_Part):
    """A logistic regression on named inputs: ``sigmoid(intercept + sum(weight * (x - mean) / scale))``.

    An input is a measured value by its name, or ``log1p NAME``: the natural logarithm of one plus that value.
    """

    inputs: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    threshold: float | None = Field(None, ge=0, le=1)  # from which on it says yes; None: of the operating points

    @model_validator(mode="after")
    def _lengths_agree(self) -> Self:
        if len({len(self.inputs), len(self.mean), len(self.scale), len(self.weights)}) != 1:
            raise ValueError("a head needs one mean, scale and weight for each input")
        return self


class TrainingData(_Part):
    """What the network was trained on."""

    cohorts: tuple[str, ...]
    num_patients: int
    num_examples: int
    split: str
    licence: str


class ModelRecord(_Part):
    """Everything about a model but its weights."""

    name: str
    kind: Kind
    version: str
    description: str
    licence: str
    architecture: Architecture
    preprocessing: Preprocessing
    outputs: tuple[str, ...]  # names of the output channels
    operating_points: dict[str, OperatingPoint]
    default_operating_point: str
    heads: dict[str, LinearHead] = {}
    data: TrainingData
    training: dict[str, Any]
    scores: tuple[Score, ...]
    git_commit: str
    weights_sha256: str

    @model_validator(mode="after")
    def _classifier_has_heads(self) -> Self:
        missing = {"nodule", "suspicion"} - set(self.heads)
        if self.kind == "classification" and missing:
            raise ValueError(f"a classification record needs the heads {sorted(missing)}")
        return self

    def operating_point(self, name: str = "default") -> tuple[str, OperatingPoint]:
        """The operating point of a name, ``default`` for the record's own choice.

        Raises:
            ModelRefusal: ``unknown-operating-point``.
        """
        wanted = self.default_operating_point if name == "default" else name
        if wanted not in self.operating_points:
            known = ", ".join(sorted(self.operating_points))
            raise ModelRefusal(
                "unknown-operating-point", f"The {self.kind} model has no operating point {wanted!r}; it has {known}."
            )
        return wanted, self.operating_points[wanted]


@dataclass(frozen=True)
class Model:
    """A model on disk whose weights are those of its record."""

    record: ModelRecord
    weights: Path


@dataclass(frozen=True)
class ListedModel:
    """A model as its record describes it, whether or not it can be used."""

    record: ModelRecord
    fault: ModelRefusal | None  # what is wrong with its weights


@dataclass(frozen=True)
class Models:
    """The three models of the line."""

    detection: Model
    segmentation: Model
    classification: Model

    def __iter__(self) -> Any:
        return iter((self.detection, self.segmentation, self.classification))


def read_record(folder: Path) -> ModelRecord:
    """Read the record of a model folder.

    Raises:
        ModelRefusal: ``model-missing`` or ``model-record-invalid``.
    """
    path = folder / RECORD_FILE
    if not path.is_file():
        raise ModelRefusal("model-missing", f"There is no model in the folder {folder.name}: {RECORD_FILE} is missing.")
    try:
        return ModelRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ModelRefusal(
            "model-record-invalid", f"The record of the model {folder.name} cannot be read by this version."
        ) from error


def load_model(folder: Path) -> Model:
    """Read the record and check that the weights are the ones it names.

    Raises:
        ModelRefusal: ``model-missing``, ``model-record-invalid`` or ``model-altered``.
    """
    record = read_record(folder)
    return Model(record, _checked_weights(folder, record))


def list_models(models_folder: Path) -> tuple[ListedModel, ...]:
    """Read the records of the three models of the line, and check their weights without a refusal.

    Raises:
        ModelRefusal: ``model-missing`` or ``model-record-invalid``.
    """
    listed = []
    for folder in (models_folder / kind for kind in KINDS):
        record, fault = read_record(folder), None
        try:
            _checked_weights(folder, record)
        except ModelRefusal as refusal:
            fault = refusal
        listed.append(ListedModel(record, fault))
    return tuple(listed)


def _checked_weights(folder: Path, record: ModelRecord) -> Path:
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise ModelRefusal("model-missing", f"The weights of the model {folder.name} are missing.")
    if sha256_of(weights) != record.weights_sha256:
        raise ModelRefusal(
            "model-altered",
            f"The weights of the model {folder.name} are not the ones that its record names.",
            "Restore the models folder from the release.",
        )
    return weights


def load_models(models_folder: Path) -> Models:
    """Load the three models of the line from `detection/`, `segmentation/` and `classification/`.

    Raises:
        ModelRefusal: As `load_model`; ``model-record-invalid`` also where a folder holds another kind of model.
    """
    if not models_folder.is_dir():
        raise ModelRefusal("model-missing", f"There is no models folder {models_folder}.", "Name it with -m.")
    loaded = {kind: load_model(models_folder / kind) for kind in KINDS}
    for kind, model in loaded.items():
        if model.record.kind != kind:
            raise ModelRefusal("model-record-invalid", f"The folder {kind} holds a {model.record.kind} model.")
    return Models(**loaded)


def write_model(folder: Path, network: nn.Module, record: Mapping[str, Any]) -> ModelRecord:
    """Write a model folder; the SHA-256 of the weights is added to the record.

    Args:
        folder: Made where it is missing; an older model in it is replaced.
        network: Its parameters and buffers are kept.
        record: The fields of `ModelRecord` but `weights_sha256`.
    """
    from safetensors.torch import save_file  # torch stays out of reading

    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS_FILE
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors_of(network).items()}, weights)
    weights.chmod(0o644)  # safetensors lets only the owner read
    checked = ModelRecord.model_validate({**record, "weights_sha256": sha256_of(weights)})
    text = json.dumps(checked.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / RECORD_FILE).write_text(text + "\n", encoding="utf-8")
    return checked


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, each once, however many places of the network its module stands in."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
