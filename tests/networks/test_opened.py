"""The three networks of the line, opened together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lung_nodules.errors import ModelRefusal
from lung_nodules.networks.opened import open_networks
from lung_nodules.networks.record import load_models
from lung_nodules.settings import RuntimeSettings


def test_each_network_is_the_one_of_its_kind_and_says_where_it_runs(models_folder: Path) -> None:
    networks = open_networks(load_models(models_folder), RuntimeSettings(runtime="torch", num_threads=1))
    opened = (networks.finder, networks.outliner, networks.classifier)
    assert [network.record.kind for network in opened] == ["detection", "segmentation", "classification"]
    assert all(network.identity.device == "cpu, 1 threads" for network in opened)
    cube = np.zeros((1, 1, 16, 16, 16), np.float32)
    assert [network(cube).shape for network in opened] == [cube.shape, cube.shape, (1, 2)]


def test_a_model_that_does_not_fit_is_refused(own_models: Path) -> None:
    record = own_models / "classification" / "record.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"hybrid-vit"', '"some-vit"'), encoding="utf-8")
    with pytest.raises(ModelRefusal, match="some-vit"):
        open_networks(load_models(own_models), RuntimeSettings(runtime="torch", num_threads=1))
