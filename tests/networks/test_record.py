"""Model folders: what is written is read, and a folder that is not what its record says is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lung_nodules.errors import ExitCode, ModelRefusal
from lung_nodules.networks.record import (
    KINDS,
    RECORD_FILE,
    WEIGHTS_FILE,
    load_model,
    load_models,
    read_record,
    write_model,
)


def edit_record(folder: Path, **fields: Any) -> None:
    path = folder / RECORD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields), encoding="utf-8")


def fields_of(folder: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
    del fields["weights_sha256"]
    return fields


class Weights(nn.Module):
    """A module that holds a parameter and a buffer."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)
        self.register_buffer("steps", torch.tensor([1, 2]))


class TestRoundTrip:
    def test_what_is_written_is_read(self, models_folder: Path, tmp_path: Path) -> None:
        network = Weights(torch.arange(6.0).reshape(2, 3))
        fields = fields_of(models_folder / "detection") | {
            "description": "Größe in mm³",
            "operating_points": {"screening": {"threshold": 0.25, "chosen_on": "validation"}},
            "default_operating_point": "screening",
            "scores": [{"name": "CPM", "value": 0.8, "low": 0.7, "high": 0.9, "n": 20, "cohort": "test"}],
        }
        written = write_model(tmp_path / "new" / "detection", network, fields)
        model = load_model(tmp_path / "new" / "detection")
        assert model.record == written == read_record(tmp_path / "new" / "detection")
        fields["operating_points"]["screening"]["false_positives_per_scan"] = None
        assert written.model_dump(mode="json", exclude={"weights_sha256"}) == fields
        assert written.weights_sha256 == hashlib.sha256(model.weights.read_bytes()).hexdigest()
        loaded = load_file(model.weights)
        assert loaded.keys() == network.state_dict().keys()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in network.state_dict().items())

    def test_a_transposed_tensor_is_stored_as_it_looks(self, models_folder: Path, tmp_path: Path) -> None:
        weights = torch.arange(6.0).reshape(2, 3).T
        write_model(tmp_path / "m", Weights(weights), fields_of(models_folder / "detection"))
        assert torch.equal(load_file(tmp_path / "m" / WEIGHTS_FILE)["weights"], weights)

    def test_a_module_in_two_places_is_stored_once(self, models_folder: Path, tmp_path: Path) -> None:
        layer = nn.Linear(2, 2)
        write_model(tmp_path / "m", nn.Sequential(layer, layer), fields_of(models_folder / "detection"))
        assert load_file(tmp_path / "m" / WEIGHTS_FILE).keys() == {"0.weight", "0.bias"}

    def test_an_older_model_is_replaced(self, models_folder: Path, tmp_path: Path) -> None:
        for value in (1.0, 2.0):
            write_model(tmp_path / "m", Weights(torch.tensor([value])), fields_of(models_folder / "detection"))
        assert load_file(load_model(tmp_path / "m").weights)["weights"] == 2.0

    def test_the_three_models_of_the_line(self, models_folder: Path) -> None:
        models = load_models(models_folder)
        assert [model.record.kind for model in models] == list(KINDS)
        assert models.segmentation.weights == models_folder / "segmentation" / WEIGHTS_FILE


class TestRefusals:
    def test_a_flipped_bit_in_the_weights(self, own_models: Path) -> None:
        path = own_models / "detection" / WEIGHTS_FILE
        content = bytearray(path.read_bytes())
        content[-7] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelRefusal, match="not the ones that its record names") as refused:
            load_models(own_models)
        assert refused.value.code == "model-altered"
        assert refused.value.exit_code == ExitCode.BAD_MODEL

    @pytest.mark.parametrize("missing", [RECORD_FILE, WEIGHTS_FILE])
    def test_half_a_model(self, own_models: Path, missing: str) -> None:
        (own_models / "segmentation" / missing).unlink()
        with pytest.raises(ModelRefusal, match=r"segmentation.* missing") as refused:
            load_models(own_models)
        assert refused.value.code == "model-missing"

    def test_no_models_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ModelRefusal, match="There is no models folder") as refused:
            load_models(tmp_path / "nowhere")
        assert refused.value.code == "model-missing"

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"name": "x"}'])
    def test_a_broken_record(self, own_models: Path, content: bytes) -> None:
        (own_models / "detection" / RECORD_FILE).write_bytes(content)
        with pytest.raises(ModelRefusal, match="cannot be read by this version") as refused:
            load_model(own_models / "detection")
        assert refused.value.code == "model-record-invalid"

    @pytest.mark.parametrize(
        "fields",
        [
            {"surprise": 1},
            {"kind": "denoising"},
            {"preprocessing": {"spacing_mm": 0, "window_hu": [-1000, 400], "patch_voxels": 32}},
            {"operating_points": {"x": {"threshold": 1.5, "chosen_on": "validation"}}},
        ],
    )
    def test_a_record_that_says_what_cannot_be(self, own_models: Path, fields: dict[str, Any]) -> None:
        edit_record(own_models / "detection", **fields)
        with pytest.raises(ModelRefusal) as refused:
            load_model(own_models / "detection")
        assert refused.value.code == "model-record-invalid"

    @pytest.mark.parametrize(
        "heads",
        [
            {},
            {"nodule": {"inputs": ["image.nodule"], "mean": [0], "scale": [1], "weights": [1], "intercept": 0}},
            {
                name: {"inputs": ["image.nodule"], "mean": [0, 0], "scale": [1], "weights": [1], "intercept": 0}
                for name in ("nodule", "suspicion")
            },
        ],
        ids=["none", "no-suspicion", "uneven"],
    )
    def test_a_classifier_without_its_heads(self, own_models: Path, heads: dict[str, Any]) -> None:
        edit_record(own_models / "classification", heads=heads)
        with pytest.raises(ModelRefusal) as refused:
            load_model(own_models / "classification")
        assert refused.value.code == "model-record-invalid"

    def test_another_kind_of_model_in_the_folder(self, own_models: Path) -> None:
        edit_record(own_models / "detection", kind="segmentation")
        with pytest.raises(ModelRefusal, match="folder detection holds a segmentation model") as refused:
            load_models(own_models)
        assert refused.value.code == "model-record-invalid"

    def test_no_refusal_names_the_machine_s_folders(self, own_models: Path) -> None:
        (own_models / "detection" / WEIGHTS_FILE).unlink()
        with pytest.raises(ModelRefusal) as refused:
            load_models(own_models)
        assert str(own_models) not in str(refused.value)


class TestOperatingPoints:
    @pytest.fixture
    def folder(self, own_models: Path) -> Path:
        points = {name: {"threshold": value, "chosen_on": "x"} for name, value in (("high", 0.9), ("low", 0.1))}
        edit_record(own_models / "classification", operating_points=points, default_operating_point="low")
        return own_models / "classification"

    def test_default_is_the_record_s_choice(self, folder: Path) -> None:
        record = read_record(folder)
        assert record.operating_point() == ("low", record.operating_points["low"])
        assert record.operating_point("high")[1].threshold == 0.9

    def test_an_unknown_one_is_refused_with_those_there_are(self, folder: Path) -> None:
        with pytest.raises(ModelRefusal, match=r"no operating point 'middle'; it has high, low") as refused:
            read_record(folder).operating_point("middle")
        assert refused.value.code == "unknown-operating-point"


def test_reading_records_and_checking_weights_needs_no_torch(models_folder: Path) -> None:
    program = (
        "import sys, pathlib; from lung_nodules.networks.record import load_models;"
        "print(*[model.record.name for model in load_models(pathlib.Path(sys.argv[1]))]);"
        "assert not {'torch', 'monai', 'openvino'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(models_folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["tiny-detection", "tiny-segmentation", "tiny-classification"]
