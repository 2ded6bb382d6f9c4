"""The runtimes: the same numbers everywhere, and a cache that helps or does no harm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import pytest
import torch

from lung_nodules.errors import ExitCode, UsageRefusal
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import Model, load_model
from lung_nodules.networks.runtime import Batch, Network, choose_runtime, open_network
from lung_nodules.settings import RuntimeSettings

CPU_HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
OPENVINO = RuntimeSettings(runtime="openvino", num_threads=1, precision="f32")
BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "one-bit": lambda content: content[:403] + bytes([content[403] ^ 64]) + content[404:],
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def stored(models_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the cache folder holds once the finder was opened. Not to be written to."""
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root))
        open_network(load_model(models_folder / "detection"), OPENVINO)
    return root / "lung-nodules"


@pytest.fixture
def filled_cache(stored: Path, cache: Path) -> Path:
    return Path(shutil.copytree(stored, cache / "lung-nodules"))


@pytest.fixture
def finder(models_folder: Path) -> Model:
    return load_model(models_folder / "detection")


def cubes(number: int, side: int) -> Batch:
    return np.random.default_rng(number).random((number, 1, side, side, side), dtype=np.float32)


def exact(model: Model, batch: Batch) -> Batch:
    """What the network computes in float32."""
    with torch.inference_mode():
        output: Batch = load_network(model)(torch.from_numpy(batch)).numpy()
    return output


class TestTheSameNumbers:
    @pytest.mark.parametrize(
        ("kind", "batches"),
        [("detection", [cubes(1, 32), cubes(3, 32), cubes(2, 40)]), ("classification", [cubes(1, 16), cubes(4, 16)])],
        ids=["unet", "vit"],
    )
    def test_openvino_in_f32_and_torch_agree(self, models_folder: Path, kind: str, batches: list[Batch]) -> None:
        model = load_model(models_folder / kind)
        on_openvino = open_network(model, OPENVINO)
        on_torch = open_network(model, RuntimeSettings(runtime="torch", num_threads=1))
        for batch in batches:
            expected = exact(model, batch)
            first, second = on_openvino(batch), on_torch(batch)
            assert first.dtype == second.dtype == np.float32
            assert first.shape == second.shape == expected.shape
            np.testing.assert_allclose(first, expected, rtol=1e-3, atol=1e-3)
            np.testing.assert_allclose(second, expected, atol=0.03 * np.abs(expected).max())  # bf16 has 8 bits

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
    def test_cuda_agrees(self, finder: Model) -> None:
        network = open_network(finder, RuntimeSettings(runtime="torch-cuda"))
        expected = exact(finder, cubes(2, 32))
        np.testing.assert_allclose(network(cubes(2, 32)), expected, atol=0.03 * np.abs(expected).max())

    @pytest.mark.usefixtures("filled_cache")
    @pytest.mark.skipif(not CPU_HAS_BF16, reason="this processor has no bf16")
    def test_openvino_in_bf16_is_near(self, finder: Model) -> None:
        network = open_network(finder, OPENVINO.model_copy(update={"precision": "bf16"}))
        expected = exact(finder, cubes(2, 32))
        np.testing.assert_allclose(network(cubes(2, 32)), expected, atol=0.05 * np.abs(expected).max())


class TestIdentity:
    @pytest.mark.usefixtures("filled_cache")
    @pytest.mark.parametrize("precision", ["auto", "f32", "bf16"])
    def test_openvino_names_its_version_and_the_precision_it_computes_in(self, finder: Model, precision: str) -> None:
        network = open_network(finder, OPENVINO.model_copy(update={"precision": precision}))
        computed = "bf16" if precision != "f32" and CPU_HAS_BF16 else "f32"
        assert network.identity.runtime == f"openvino {openvino.__version__.split('-')[0]} {computed}"
        assert network.identity.device == "cpu, 1 threads"

    def test_torch_names_its_version(self, finder: Model) -> None:
        network = open_network(finder, RuntimeSettings(runtime="torch", num_threads=1))
        assert network.identity.runtime == f"torch {torch.__version__} bf16"

    @pytest.mark.usefixtures("filled_cache")
    def test_zero_threads_are_as_many_as_there_are_cores(self, finder: Model) -> None:
        network = open_network(finder, OPENVINO.model_copy(update={"num_threads": 0}))
        assert network.identity.device == f"cpu, {len(os.sched_getaffinity(0))} threads"


class TestChoice:
    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
    def test_a_gpu_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(UsageRefusal, match="no CUDA GPU") as refused:
            choose_runtime("torch-cuda")
        assert refused.value.code == "runtime-missing"
        assert refused.value.exit_code == ExitCode.BAD_USAGE

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
    @pytest.mark.parametrize("devices", [None, "", "0"])
    def test_without_a_gpu_auto_is_openvino(self, monkeypatch: pytest.MonkeyPatch, devices: str | None) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if devices is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
        assert choose_runtime("auto") == "openvino"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
    def test_without_openvino_auto_is_torch_and_openvino_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "openvino", None)  # what Python itself takes for "not installed"
        assert choose_runtime("auto") == "torch"
        with pytest.raises(UsageRefusal, match="OpenVINO is not installed") as refused:
            choose_runtime("openvino")
        assert refused.value.code == "runtime-missing"


class TestCache:
    @pytest.mark.usefixtures("filled_cache")
    def test_the_second_opening_imports_no_torch_and_gives_the_same(self, finder: Model, cache: Path) -> None:
        np.save(cache / "batch.npy", cubes(2, 32))
        program = (
            "import sys, pathlib, numpy as np;"
            "from lung_nodules.networks.record import load_model;"
            "from lung_nodules.networks.runtime import open_network;"
            "from lung_nodules.settings import RuntimeSettings;"
            "model, cache = load_model(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]);"
            "network = open_network(model, RuntimeSettings(runtime='openvino', num_threads=1, precision='f32'));"
            "np.save(cache / 'output.npy', network(np.load(cache / 'batch.npy')));"
            "assert not {'torch', 'monai'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program, str(finder.weights.parent), str(cache)], check=True)
        output = np.load(cache / "output.npy")
        np.testing.assert_allclose(output, exact(finder, cubes(2, 32)), rtol=1e-3, atol=1e-3)

    def test_nothing_but_the_model_stays_behind(self, filled_cache: Path) -> None:
        assert sorted(path.suffix for path in filled_cache.iterdir()) == [".bin", ".xml"]

    @pytest.mark.parametrize(("suffix", "how"), [(".xml", "cut"), (".bin", "cut"), (".bin", "one-bit")])
    def test_a_damaged_file_is_made_again(
        self, finder: Model, filled_cache: Path, suffix: str, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        (path,) = filled_cache.glob(f"*{suffix}")
        path.write_bytes(BROKEN[how](path.read_bytes()))
        self.assert_works(open_network(finder, OPENVINO), finder)
        assert "damaged" in caplog.text
        caplog.clear()
        self.assert_works(open_network(finder, OPENVINO), finder)
        assert "damaged" not in caplog.text
        assert len(list(filled_cache.iterdir())) == 2

    def test_half_a_model_is_made_again(self, finder: Model, filled_cache: Path) -> None:
        next(filled_cache.glob("*.bin")).unlink()
        self.assert_works(open_network(finder, OPENVINO), finder)
        assert len(list(filled_cache.glob("*.bin"))) == 1

    def test_other_weights_have_another_place(self, models_folder: Path, filled_cache: Path) -> None:
        open_network(load_model(models_folder / "segmentation"), OPENVINO)
        assert len(list(filled_cache.glob("*.xml"))) == 2

    def test_none_is_written_where_none_is_wanted(self, finder: Model, cache: Path) -> None:
        open_network(finder, OPENVINO.model_copy(update={"cache": False}))
        assert not cache.exists()

    @pytest.mark.parametrize("place", ["a-file", "a-name-that-no-folder-can-have"])
    def test_a_folder_that_cannot_be_written_is_no_error(
        self, finder: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        (tmp_path / "a-file").touch()
        folder = tmp_path / "a-file" if place == "a-file" else tmp_path / ("x" * 300)
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        self.assert_works(open_network(finder, OPENVINO), finder)

    def test_a_user_without_a_home_has_no_cache(self, finder: Model, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(os, "getuid", lambda: 1_999_999_999)  # a uid that no passwd file knows, as in a container
        with pytest.raises(RuntimeError):
            Path.home()
        self.assert_works(open_network(finder, OPENVINO), finder)

    @staticmethod
    def assert_works(network: Network, model: Model) -> None:
        np.testing.assert_allclose(network(cubes(1, 32)), exact(model, cubes(1, 32)), rtol=1e-3, atol=1e-3)
